//! The system calls that a step may make: a filter on the model of Docker's default profile.
//!
//! Capabilities are the first wall and this is the second: it keeps what a step may ask of the kernel small, so that a
//! mistake in a rarely used call is no way out. The list is what Docker gives a process that has Docker's default
//! capabilities on a kernel since 4.8. Beside Docker, terminals cannot be typed into (`TIOCSTI`, `TIOCLINUX`), and
//! 32-bit programs do not run, because their calls have other numbers.
//!
//! # Source
//! `moby/profiles`, `seccomp/default.json` of 2026-05-06 (commit 3c28324).

use std::collections::BTreeMap;

use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::StatusError;

/// Names as numbers of this architecture.
macro_rules! calls {
    ($($name:ident)*) => { &[$(libc::$name),*] };
}

/// Allowed with any arguments, on every architecture.
const ALLOWED: &[i64] = calls! {
    SYS_accept SYS_accept4 SYS_adjtimex SYS_bind SYS_brk SYS_capget SYS_capset SYS_chdir SYS_chroot
    SYS_clock_adjtime SYS_clock_getres SYS_clock_gettime SYS_clock_nanosleep SYS_close SYS_close_range SYS_connect
    SYS_copy_file_range SYS_dup SYS_dup3 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2
    SYS_eventfd2 SYS_execve SYS_execveat SYS_exit SYS_exit_group SYS_faccessat SYS_faccessat2 SYS_fadvise64
    SYS_fallocate SYS_fanotify_mark SYS_fchdir SYS_fchmod SYS_fchmodat SYS_fchown SYS_fchownat SYS_fcntl
    SYS_fdatasync SYS_fgetxattr SYS_flistxattr SYS_flock SYS_fremovexattr SYS_fsetxattr SYS_fstat SYS_fstatfs
    SYS_fsync SYS_ftruncate SYS_futex SYS_futex_waitv SYS_get_robust_list SYS_getcpu SYS_getcwd SYS_getdents64
    SYS_getegid SYS_geteuid SYS_getgid SYS_getgroups SYS_getitimer SYS_getpeername SYS_getpgid SYS_getpid
    SYS_getppid SYS_getpriority SYS_getrandom SYS_getresgid SYS_getresuid SYS_getrusage SYS_getsid SYS_getsockname
    SYS_getsockopt SYS_gettid SYS_gettimeofday SYS_getuid SYS_getxattr SYS_inotify_add_watch SYS_inotify_init1
    SYS_inotify_rm_watch SYS_io_cancel SYS_io_destroy SYS_io_getevents SYS_io_setup SYS_io_submit SYS_ioprio_get
    SYS_ioprio_set SYS_kill SYS_landlock_add_rule SYS_landlock_create_ruleset SYS_landlock_restrict_self
    SYS_lgetxattr SYS_linkat SYS_listen SYS_listxattr SYS_llistxattr SYS_lremovexattr SYS_lseek SYS_lsetxattr
    SYS_madvise SYS_membarrier SYS_memfd_create SYS_memfd_secret SYS_mincore SYS_mkdirat SYS_mknodat SYS_mlock
    SYS_mlock2 SYS_mlockall SYS_mmap SYS_mprotect SYS_mq_getsetattr SYS_mq_notify SYS_mq_open SYS_mq_timedreceive
    SYS_mq_timedsend SYS_mq_unlink SYS_mremap SYS_mseal SYS_msgctl SYS_msgget SYS_msgrcv SYS_msgsnd SYS_msync
    SYS_munlock SYS_munlockall SYS_munmap SYS_name_to_handle_at SYS_nanosleep SYS_newfstatat SYS_openat SYS_openat2
    SYS_pidfd_open SYS_pidfd_send_signal SYS_pipe2 SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect SYS_ppoll
    SYS_prctl SYS_pread64 SYS_preadv SYS_preadv2 SYS_prlimit64 SYS_process_mrelease SYS_process_vm_readv
    SYS_process_vm_writev SYS_pselect6 SYS_ptrace SYS_pwrite64 SYS_pwritev SYS_pwritev2 SYS_read SYS_readahead
    SYS_readlinkat SYS_readv SYS_recvfrom SYS_recvmmsg SYS_recvmsg SYS_remap_file_pages SYS_removexattr
    SYS_renameat2 SYS_restart_syscall SYS_rseq SYS_rt_sigaction SYS_rt_sigpending SYS_rt_sigprocmask
    SYS_rt_sigqueueinfo SYS_rt_sigreturn SYS_rt_sigsuspend SYS_rt_sigtimedwait SYS_rt_tgsigqueueinfo
    SYS_sched_get_priority_max SYS_sched_get_priority_min SYS_sched_getaffinity SYS_sched_getattr SYS_sched_getparam
    SYS_sched_getscheduler SYS_sched_rr_get_interval SYS_sched_setaffinity SYS_sched_setattr SYS_sched_setparam
    SYS_sched_setscheduler SYS_sched_yield SYS_seccomp SYS_semctl SYS_semget SYS_semop SYS_semtimedop SYS_sendfile
    SYS_sendmmsg SYS_sendmsg SYS_sendto SYS_set_robust_list SYS_set_tid_address SYS_setfsgid SYS_setfsuid SYS_setgid
    SYS_setgroups SYS_setitimer SYS_setpgid SYS_setpriority SYS_setregid SYS_setresgid SYS_setresuid SYS_setreuid
    SYS_setsid SYS_setsockopt SYS_setuid SYS_setxattr SYS_shmat SYS_shmctl SYS_shmdt SYS_shmget SYS_shutdown
    SYS_sigaltstack SYS_signalfd4 SYS_socketpair SYS_splice SYS_statfs SYS_statx SYS_symlinkat SYS_sync SYS_syncfs
    SYS_sysinfo SYS_tee SYS_tgkill SYS_timer_create SYS_timer_delete SYS_timer_getoverrun SYS_timer_gettime
    SYS_timer_settime SYS_timerfd_create SYS_timerfd_gettime SYS_timerfd_settime SYS_times SYS_tkill SYS_truncate
    SYS_umask SYS_uname SYS_unlinkat SYS_utimensat SYS_vmsplice SYS_wait4 SYS_waitid SYS_write SYS_writev
};

/// Allowed with any arguments; libc does not name them on every architecture. Numbers from 424 on are the same
/// everywhere (`scripts/syscall.tbl` of Linux).
const ALLOWED_NEWER: &[i64] = &[
    451, // cachestat
    452, // fchmodat2
    453, // map_shadow_stack
    454, // futex_wake
    455, // futex_wait
    456, // futex_requeue
    457, // statmount
    458, // listmount
    463, // setxattrat
    464, // getxattrat
    465, // listxattrat
    466, // removexattrat
];

/// Allowed with any arguments, on this architecture alone.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[i64] = calls! {
    SYS_access SYS_alarm SYS_chmod SYS_chown SYS_creat SYS_dup2 SYS_epoll_create SYS_epoll_ctl_old SYS_epoll_wait
    SYS_epoll_wait_old SYS_eventfd SYS_fork SYS_futimesat SYS_get_thread_area SYS_getdents SYS_getpgrp SYS_getrlimit
    SYS_inotify_init SYS_lchown SYS_link SYS_lstat SYS_mkdir SYS_mknod SYS_open SYS_pause SYS_pipe SYS_poll
    SYS_readlink SYS_rename SYS_renameat SYS_rmdir SYS_select SYS_set_thread_area SYS_setrlimit SYS_signalfd
    SYS_stat SYS_symlink SYS_sync_file_range SYS_time SYS_unlink SYS_utime SYS_utimes SYS_vfork SYS_arch_prctl
    SYS_modify_ldt
};
/// Those that only this architecture has or that libc does not name here (`include/uapi/asm-generic/unistd.h`).
#[cfg(target_arch = "aarch64")]
const ALLOWED_HERE: &[i64] = &[
    38,  // renameat
    84,  // sync_file_range
    163, // getrlimit
    164, // setrlimit
    292, // io_pgetevents
];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ALLOWED_HERE: &[i64] = &[];

/// What [`ALLOWED_HERE`] lacks because libc does not name it (`arch/x86/entry/syscalls/syscall_64.tbl`).
#[cfg(target_arch = "x86_64")]
const ALLOWED_UNNAMED: &[i64] = &[
    333, // io_pgetevents
    335, // uretprobe
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_UNNAMED: &[i64] = &[];

/// Known and refused: these answer `EPERM`, as a kernel does that lacks the capability.
const REFUSED: &[i64] = calls! {
    SYS_acct SYS_add_key SYS_bpf SYS_clock_settime SYS_delete_module SYS_fanotify_init SYS_finit_module SYS_fsconfig
    SYS_fsmount SYS_fsopen SYS_fspick SYS_get_mempolicy SYS_init_module SYS_io_uring_enter SYS_io_uring_register
    SYS_io_uring_setup SYS_kcmp SYS_kexec_load SYS_keyctl SYS_lookup_dcookie SYS_mbind SYS_migrate_pages SYS_mount
    SYS_mount_setattr SYS_move_mount SYS_move_pages SYS_nfsservctl SYS_open_by_handle_at SYS_open_tree
    SYS_perf_event_open SYS_pidfd_getfd SYS_pivot_root SYS_process_madvise SYS_quotactl SYS_quotactl_fd SYS_reboot
    SYS_request_key SYS_set_mempolicy SYS_set_mempolicy_home_node SYS_setdomainname SYS_sethostname SYS_setns
    SYS_settimeofday SYS_swapoff SYS_swapon SYS_syslog SYS_umount2 SYS_unshare SYS_userfaultfd SYS_vhangup
};

/// Known and refused, without a name in libc.
const REFUSED_NEWER: &[i64] = &[
    459, // lsm_get_self_attr
    460, // lsm_set_self_attr
    461, // lsm_list_modules
    467, // open_tree_attr
];

/// Known and refused, on this architecture alone.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = calls! {
    SYS__sysctl SYS_afs_syscall SYS_getpmsg SYS_ioperm SYS_iopl SYS_kexec_file_load SYS_putpmsg SYS_security
    SYS_sysfs SYS_tuxcall SYS_uselib SYS_ustat SYS_vserver
};
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[];

/// `clone` may not make namespaces. (`CLONE_NEWTIME` has the bits of the exit signal, so `clone` cannot ask for it.)
const NEW_NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32 as u64;

/// Personalities that change nothing a filter relies on: `PER_LINUX`, `PER_LINUX32`, each with `UNAME26`, and the
/// question which one is set (0xffffffff).
const PERSONALITIES: [u64; 5] = [0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

const AF_ALG: u64 = libc::AF_ALG as u64;
const AF_VSOCK: u64 = libc::AF_VSOCK as u64;

/// Types a byte as if the terminal's user had.
const TIOCSTI: u64 = 0x5412;
/// The Linux console's: it can paste, which types too.
const TIOCLINUX: u64 = 0x541c;

/// Which processes a step can name by their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sees {
    /// Its own: it has a pid namespace.
    Itself,
    /// Everybody's. Landlock keeps its signals from them, but knows nothing of `prlimit`, by which a user may end any
    /// process of the same user (`RLIMIT_CPU`).
    Everybody,
}

/// Puts the filter on the calling thread and on all that it starts from now on, for good; sets `no_new_privs`. Other
/// threads of the process are not filtered.
///
/// # Errors
/// [`StatusError::Setup`] when this architecture has no list, or the kernel (or an outer filter) refuses.
pub(super) fn confine(sees: Sees) -> Result<(), StatusError> {
    let architecture = if cfg!(target_arch = "x86_64") {
        TargetArch::x86_64
    } else if cfg!(target_arch = "aarch64") {
        TargetArch::aarch64
    } else {
        return Err(refused(
            "this architecture has no filter; one exists for x86_64 and aarch64",
        ));
    };
    let [known, allowed] =
        filters(architecture, sees).map_err(|error| refused(&error.to_string()))?;
    // Of two filters that both refuse, the one installed last names the error: unknown calls are to say ENOSYS.
    for program in [allowed, known] {
        seccompiler::apply_filter(&program).map_err(|error| refused(&error.to_string()))?;
    }
    Ok(())
}

fn refused(reason: &str) -> StatusError {
    StatusError::Setup {
        step: "install the system call filter".to_owned(),
        reason: reason.to_owned(),
        hint: Some(
            "this needs Linux with CONFIG_SECCOMP_FILTER, and a container runtime that allows `seccomp`".to_owned(),
        ),
    }
}

/// Two filters, because one has a single answer for what it does not list. The first knows every call by number and
/// says ENOSYS to the others, so that the C library takes an older call instead: a call that is newer than these lists
/// is no reason to fail. `clone3` is one of the others on purpose, since its flags are in memory, where no filter can
/// see them. The second says EPERM to what is known and refused.
fn filters(
    architecture: TargetArch,
    sees: Sees,
) -> Result<[BpfProgram; 2], seccompiler::BackendError> {
    let mut allowed: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for list in [ALLOWED, ALLOWED_NEWER, ALLOWED_HERE, ALLOWED_UNNAMED] {
        allowed.extend(list.iter().map(|number| (*number, Vec::new())));
    }
    allowed.extend(with_conditions()?);
    if sees == Sees::Everybody {
        // 0 is the caller itself, which is what `setrlimit` of the C library and of shells asks for.
        let own = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, 0)?;
        allowed.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![own])?]);
    }
    let mut known: BTreeMap<i64, Vec<SeccompRule>> =
        allowed.keys().map(|number| (*number, Vec::new())).collect();
    for list in [REFUSED, REFUSED_NEWER, REFUSED_HERE] {
        known.extend(list.iter().map(|number| (*number, Vec::new())));
    }
    let compile = |rules, otherwise: Errno| {
        let otherwise = SeccompAction::Errno(otherwise.raw_os_error().unsigned_abs());
        SeccompFilter::new(rules, otherwise, SeccompAction::Allow, architecture)?.try_into()
    };
    Ok([
        compile(known, Errno::NOSYS)?,
        compile(allowed, Errno::PERM)?,
    ])
}

/// Calls that are allowed when one of their rules holds, and all conditions of a rule must hold.
fn with_conditions() -> Result<[(i64, Vec<SeccompRule>); 4], seccompiler::BackendError> {
    // All these arguments are 32 bits wide in the kernel. Comparing 64 would let `AF_VSOCK + 2^32` pass.
    let is = |argument: u8, operator: SeccompCmpOp, value: u64| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
    };
    let rule = |conditions: Vec<SeccompCondition>| SeccompRule::new(conditions);
    let personalities: Result<Vec<_>, _> = PERSONALITIES
        .iter()
        .map(|value| rule(vec![is(0, SeccompCmpOp::Eq, *value)?]))
        .collect();
    Ok([
        (
            libc::SYS_clone,
            vec![rule(vec![is(
                0,
                SeccompCmpOp::MaskedEq(NEW_NAMESPACES),
                0,
            )?])?],
        ),
        (libc::SYS_personality, personalities?),
        (
            libc::SYS_socket,
            vec![rule(vec![
                is(0, SeccompCmpOp::Ne, AF_ALG)?,
                is(0, SeccompCmpOp::Ne, AF_VSOCK)?,
            ])?],
        ),
        (
            libc::SYS_ioctl,
            vec![rule(vec![
                is(1, SeccompCmpOp::Ne, TIOCSTI)?,
                is(1, SeccompCmpOp::Ne, TIOCLINUX)?,
            ])?],
        ),
    ])
}

#[cfg(test)]
mod tests;
