//! The filter at work: each test confines a thread of its own and makes the calls from there.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use super::super::sys::call;
use super::*;

/// An argument that no call takes: a bad address, descriptor, flag or number.
const NONSENSE: [u64; 6] = [u64::MAX; 6];

/// Runs something on a thread that has the filter.
fn confined<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    confined_seeing(Sees::Itself, work)
}

fn confined_seeing<T: Send>(sees: Sees, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            confine(sees).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

fn first(argument: u64) -> [u64; 6] {
    [argument, 0, 0, 0, 0, 0]
}

#[test]
fn refused_calls_say_eperm() {
    confined(|| {
        for number in [REFUSED, REFUSED_NEWER, REFUSED_HERE].concat() {
            assert_eq!(call(number, NONSENSE), Err(Errno::PERM), "call {number}");
        }
    });
    // The same nonsense is told from what is refused where there is no filter.
    for number in [
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_keyctl,
        libc::SYS_pidfd_getfd,
    ] {
        assert_ne!(call(number, NONSENSE), Err(Errno::PERM), "call {number}");
    }
}

#[test]
fn no_call_is_both_allowed_and_refused() {
    let lists = [ALLOWED, ALLOWED_NEWER, ALLOWED_HERE, ALLOWED_UNNAMED];
    let allowed: std::collections::BTreeSet<i64> = lists.concat().into_iter().collect();
    let refused = [REFUSED, REFUSED_NEWER, REFUSED_HERE].concat();
    let both: Vec<_> = refused.iter().filter(|n| allowed.contains(n)).collect();
    assert!(both.is_empty(), "{both:?}");
    for number in [libc::SYS_clone3, libc::SYS_clone, libc::SYS_ioctl] {
        assert!(!allowed.contains(&number), "{number}");
    }
}

#[test]
fn unknown_calls_say_enosys_so_that_older_ones_are_taken() {
    confined(|| {
        assert_eq!(call(libc::SYS_clone3, NONSENSE), Err(Errno::NOSYS));
        assert_eq!(call(1000, NONSENSE), Err(Errno::NOSYS));
        // x32 has the same architecture and other numbers: 64-bit ones with bit 30.
        let x32_getpid = 0x4000_0000 + libc::SYS_getpid;
        assert_eq!(call(x32_getpid, [0; 6]), Err(Errno::NOSYS));
    });
    assert_ne!(call(libc::SYS_clone3, NONSENSE), Err(Errno::NOSYS));
}

#[test]
fn clone_makes_threads_and_processes_but_no_namespaces() {
    // CLONE_THREAD alone is always wrong, so nothing is cloned even if the filter lets it pass.
    let harmless = libc::CLONE_THREAD as u32 as u64;
    let flags = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ];
    let clone = |flag: i32| call(libc::SYS_clone, first(harmless | flag as u32 as u64));
    confined(|| {
        for flag in flags {
            assert_eq!(clone(flag), Err(Errno::PERM), "{flag:#x}");
        }
        assert_eq!(clone(0), Err(Errno::INVAL));
        assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7);
    });
    for flag in flags {
        assert_eq!(clone(flag), Err(Errno::INVAL), "{flag:#x}");
    }
}

#[test]
fn arguments_are_judged_by_the_bits_that_the_kernel_takes() {
    const HIGH: u64 = 1 << 32;
    let socket = |family: u64| call(libc::SYS_socket, [family, 2, 0, 0, 0, 0]);
    let personality = |persona: u64| call(libc::SYS_personality, first(persona));
    let ioctl = |request: u64| call(libc::SYS_ioctl, [u64::MAX, request, 0, 0, 0, 0]);
    confined(|| {
        for family in [AF_ALG, AF_VSOCK, HIGH | AF_ALG, HIGH | AF_VSOCK] {
            assert_eq!(socket(family), Err(Errno::PERM), "family {family:#x}");
        }
        // 39 (near field communication) lies between the two, 45 is beyond all.
        for family in [39, 45] {
            assert_ne!(socket(family), Err(Errno::PERM), "family {family:#x}");
        }
        rustix::net::socket(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            None,
        )
        .unwrap();
        for request in [TIOCSTI, TIOCLINUX, HIGH | TIOCSTI] {
            assert_eq!(ioctl(request), Err(Errno::PERM), "request {request:#x}");
        }
        const TCGETS: u64 = 0x5401;
        assert_eq!(ioctl(TCGETS), Err(Errno::BADF));
        // READ_IMPLIES_EXEC, ADDR_NO_RANDOMIZE
        for persona in [0x40_0000, 0x4_0000, HIGH | 0x40_0000] {
            assert_eq!(personality(persona), Err(Errno::PERM), "{persona:#x}");
        }
        assert_eq!(personality(0xffff_ffff), Ok(0));
        assert_eq!(personality(0), Ok(0));
    });
    assert_eq!(ioctl(TIOCSTI), Err(Errno::BADF));
}

#[test]
fn what_docker_allows_since_linux_4_8_stays() {
    confined(|| {
        let memory = call(
            libc::SYS_process_vm_readv,
            [std::process::id().into(), 0, 0, 0, 0, 0],
        );
        assert_eq!(memory, Ok(0));
        // PTRACE_PEEKUSER of nobody
        let trace = call(libc::SYS_ptrace, [3, 0x7fff_fff0, 0, 0, 0, 0]);
        assert_eq!(trace, Err(Errno::SRCH));
        assert_eq!(call(libc::SYS_chroot, NONSENSE), Err(Errno::FAULT));
    });
}

#[test]
fn only_the_calling_thread_is_confined() {
    confined(|| {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(status.contains("\nNoNewPrivs:\t1\n"), "{status}");
        assert!(status.contains("\nSeccomp:\t2\n"), "{status}");
    });
    assert_ne!(call(1000, NONSENSE), Err(Errno::PERM));
    assert_ne!(call(libc::SYS_unshare, NONSENSE), Err(Errno::PERM));
}

/// The output of a shell script run under the filter.
fn script(directory: &std::path::Path, text: &str) -> (bool, String) {
    let output = confined(|| {
        Command::new("sh")
            .args(["-ec", text])
            .current_dir(directory)
            .env("HOME", directory)
            .output()
            .unwrap()
    });
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.success(), text)
}

#[test]
fn programs_cannot_leave_by_new_namespaces_or_mounts() {
    let directory = tempfile::tempdir().unwrap();
    for command in [
        "unshare --user true",
        "unshare --mount true",
        "mount -t tmpfs none .",
        "nsenter --mount=/proc/1/ns/mnt true",
    ] {
        let (succeeded, text) = script(directory.path(), command);
        assert!(!succeeded, "{command}: {text}");
        let text = text.to_lowercase();
        assert!(
            ["not permitted", "permission denied", "must be superuser"]
                .iter()
                .any(|refusal| text.contains(refusal)),
            "{command}: {text}"
        );
    }
}

#[test]
fn ordinary_work_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let python = "import subprocess, threading, socket, sqlite3, multiprocessing\n\
        assert subprocess.run(['sh', '-c', 'exit 3']).returncode == 3\n\
        threads = [threading.Thread(target=lambda: sum(range(9999))) for _ in range(8)]\n\
        [t.start() for t in threads]; [t.join() for t in threads]\n\
        s = socket.socket(); s.bind(('127.0.0.1', 0)); s.close()\n\
        sqlite3.connect('x.db').execute('create table t (a)').close()\n\
        assert multiprocessing.get_context('fork').Pool(2).map(abs, [-1, -2]) == [1, 2]\n";
    std::fs::write(directory.path().join("work.py"), python).unwrap();
    for command in [
        "mkdir a; echo 1 > a/b; ln -s b a/c; tar cf a.tar a; rm -r a; tar xf a.tar; test -L a/c",
        "python3 work.py",
        "git init -q g; cd g; echo 1 > a; git add a; git -c user.name=a -c user.email=a@b commit -qm a; git gc -q",
        "find /usr/bin | sort | head -n 5 | xargs ls -l | grep -c root",
        "(sleep 0.01; echo done) & wait",
    ] {
        let (succeeded, text) = script(directory.path(), command);
        assert!(succeeded, "{command}: {text}");
    }
}

/// A 64-bit program of a few instructions that makes one 32-bit call, `getpid` by `int 0x80`, and exits with 0.
#[cfg(target_arch = "x86_64")]
fn program_with_a_foreign_call() -> Vec<u8> {
    const CODE: &[u8] = &[
        0xb8, 20, 0, 0, 0, 0xcd, 0x80, // mov eax, 20; int 0x80
        0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05, // mov eax, 60; xor edi, edi; syscall
    ];
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let (base, headers) = (0x40_0000_u64, 64 + 56_u64);
    let size = headers + CODE.len() as u64;
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    elf.extend([base + headers, 64, 0].map(u64::to_le_bytes).concat());
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    let segment = [0, base, base, size, size, 0x1000];
    elf.extend(segment.map(u64::to_le_bytes).concat());
    elf.extend(CODE);
    elf
}

#[cfg(target_arch = "x86_64")]
#[test]
fn calls_of_another_architecture_end_the_process() {
    const SIGSYS: i32 = libc::SIGSYS;
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("foreign");
    std::fs::write(&program, program_with_a_foreign_call()).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let free = Command::new(&program).status().unwrap();
    let caught = confined(|| Command::new(&program).status().unwrap());
    // A kernel without 32-bit calls ends it by itself, with another signal.
    if free.success() {
        assert_eq!(caught.signal(), Some(SIGSYS));
    } else {
        assert_eq!(caught.signal(), free.signal());
    }
}

#[test]
fn limits_of_other_processes_are_out_of_reach_where_they_can_be_named() {
    // Asking changes nothing: no new limit, and nowhere to put the old one.
    let own = i64::from(std::process::id()).unsigned_abs();
    let ask = |pid: u64| call(libc::SYS_prlimit64, [pid, 0, 0, 0, 0, 0]);
    let [itself, everybody] =
        [Sees::Itself, Sees::Everybody].map(|sees| confined_seeing(sees, || [ask(0), ask(own)]));
    assert!(itself.iter().all(Result::is_ok), "{itself:?}");
    assert!(everybody[0].is_ok(), "{everybody:?}");
    assert!(everybody[1].is_err(), "{everybody:?}");
}
