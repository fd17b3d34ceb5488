/* What a hostile step tries, one line each: `held NAME: why` or `ESCAPED NAME`. Run in the sandbox by tests/it/escape.rs.
 *
 *   attempts KEY=VALUE…          all attempts; the last line is `all attempts made`
 *   attempts daemon NAME         leaves a daemon that ignores signals and has NAME in its command line
 *   attempts setcap FILE         gives the file a capability, as `setcap cap_net_bind_service=ep` does
 *   attempts fleeing NAME        leaves a process that becomes another one all the time, for 20 s at most
 *
 * Whatever would do harm if it succeeded is asked for with arguments that the kernel itself refuses, with another error
 * number than EPERM: then the wall in front of it is missing, and nothing has happened.
 *
 * Keys: canary=PID of a process outside, marker=PATH of a file outside, hosts=DEVICE:INODE of the /etc/hosts outside,
 * secret=TEXT in the environment of a process outside, disk=MAJOR:MINOR, socket=NAME of an abstract socket outside,
 * sysctl=1 (write vm.swappiness), uid=N that this process must have.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static const char *value_of(int count, char **words, const char *key)
{
    size_t length = strlen(key);
    for (int i = 1; i < count; i++)
        if (!strncmp(words[i], key, length) && words[i][length] == '=')
            return words[i] + length + 1;
    return NULL;
}

static void say(int escaped, const char *name)
{
    if (escaped)
        printf("ESCAPED %s\n", name);
    else
        printf("held %s: %s\n", name, strerror(errno));
    fflush(stdout);
}

/* A call that must end at the filter, or at the capabilities: any other answer came from behind them. */
static void refused(const char *name, long result)
{
    int is_wall = result < 0 && (errno == EPERM || errno == ENOSYS || errno == EACCES);
    if (!is_wall && result < 0)
        printf("behind the wall: %s\n", strerror(errno));
    say(!is_wall, name);
}
#define CALL(number, ...) refused(#number, syscall(SYS_##number, __VA_ARGS__))

/* Opens a file in a way that changes nothing. */
static void not_open(const char *path, int flags)
{
    int file = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    char name[4200];
    snprintf(name, sizeof name, "open %s with flags %#x", path, flags);
    say(file >= 0, name);
    if (file >= 0)
        close(file);
}

static void system_calls(void)
{
    struct timespec never = {-1, -1};
    char name[65] = "";
    refused("mount", mount("none", "/tmp", "tmpfs", 0, NULL));
    refused("mount --bind", mount("/", "/tmp", NULL, MS_BIND | MS_REC, NULL));
    refused("remount /proc/sys", mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL));
    refused("remount /etc/hosts", mount(NULL, "/etc/hosts", NULL, MS_REMOUNT | MS_BIND, NULL));
    refused("move /proc/sys", mount("/proc/sys", "/tmp", NULL, MS_MOVE, NULL));
    refused("umount /proc/sys", umount2("/proc/sys", MNT_DETACH));
    refused("umount /etc/hosts", umount2("/etc/hosts", MNT_DETACH));
    CALL(fsopen, "tmpfs", 0);
    CALL(fspick, -1, "", 0);
    CALL(open_tree, -1, "", 1);
    CALL(move_mount, -1, "", -1, "", 0);
    CALL(mount_setattr, -1, "", 0, NULL, 0);
    CALL(pivot_root, ".", ".");
    CALL(add_key, "user", "overcoat", "x", 1, -3);
    CALL(keyctl, 0, -3, 0);
    CALL(request_key, "user", "overcoat", NULL, -3);
    CALL(bpf, 0, NULL, 0);
    CALL(perf_event_open, NULL, 0, -1, -1, 0);
    CALL(userfaultfd, 0);
    CALL(io_uring_setup, 0, NULL);
    CALL(kexec_load, 0, 0, NULL, -1);
    CALL(init_module, NULL, 0, "");
    CALL(finit_module, -1, "", 0);
    CALL(delete_module, "no_such_module", O_NONBLOCK);
    CALL(open_by_handle_at, -1, NULL, 0);
    CALL(syslog, 10, NULL, 0);
    CALL(reboot, 0, 0, 0, NULL);
    CALL(swapon, "/no/such/file", 0);
    CALL(acct, "/no/such/file");
    CALL(quotactl, 0, "", 0, NULL);
    CALL(clock_settime, CLOCK_REALTIME, &never);
    CALL(kcmp, 0, 0, 99, 0, 0);
    CALL(pidfd_getfd, -1, -1, 0);
    CALL(move_pages, 0, 0, NULL, NULL, NULL, 0xff);
    CALL(fanotify_init, 0x4, 0);
    CALL(setns, -1, 0);
    gethostname(name, sizeof name - 1);
    refused("sethostname", sethostname(name, strlen(name)));
    refused("personality", personality(ADDR_NO_RANDOMIZE));
#ifdef __x86_64__
    CALL(iopl, 4);
    CALL(ioperm, 1 << 20, 1, 1);
    refused("the x32 getpid", syscall(0x40000000 | SYS_getpid));
    pid_t child = fork();
    if (child == 0) {
        long answer = 20;
        __asm__ volatile("int $0x80" : "+a"(answer) : : "memory", "r8", "r9", "r10", "r11");
        _exit(answer > 0 ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    errno = EPERM;
    say(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the 32-bit getpid");
#endif
    for (unsigned long high = 0; high < 2; high++) {
        refused("socket of AF_ALG", syscall(SYS_socket, 38 | high << 32, SOCK_SEQPACKET, 0));
        refused("socket of AF_VSOCK", syscall(SYS_socket, 40 | high << 32, SOCK_STREAM, 0));
    }
    const unsigned long flags[] = {CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        refused("unshare", unshare(flags[i]));
        for (unsigned long high = 0; high < 2; high++) {
            long pid = syscall(SYS_clone, flags[i] | SIGCHLD | high << 32, 0, 0, 0, 0);
            if (pid == 0)
                _exit(0);
            refused("clone", pid);
        }
    }
    refused("unshare of time", unshare(0x80));
    CALL(clone3, NULL, 0);
}

static void terminals(void)
{
    char typed = '\n';
    /* Another terminal of its own would do as well; the call must not get that far. */
    int master = posix_openpt(O_RDWR | O_NOCTTY), slave = -1;
    if (master >= 0 && !grantpt(master) && !unlockpt(master) && ptsname(master))
        slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    const int files[] = {0, 1, 2, slave};
    for (size_t i = 0; i < 4; i++)
        for (unsigned long high = 0; high < 2; high++)
            if (files[i] >= 0) {
                refused("TIOCSTI", syscall(SYS_ioctl, files[i], 0x5412 | high << 32, &typed));
                refused("TIOCLINUX", syscall(SYS_ioctl, files[i], 0x541c | high << 32, &typed));
            }
    if (master >= 0)
        close(master);
    if (slave >= 0)
        close(slave);
    not_open("/dev/tty", O_RDWR);
}

static void kernel_files(int count, char **words)
{
    const char *protected[] = {
        "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/swappiness",
        "/proc/self/root/proc/sys/vm/swappiness", "/proc/1/root/proc/sys/vm/swappiness",
        "/proc/thread-self/root/proc/sysrq-trigger", "/proc/irq/default_smp_affinity",
        "/sys/kernel/uevent_helper", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/fs/cgroup/release_agent",
        "/sys/fs/cgroup/cgroup.procs", "/sys/power/state", "/proc/1/exe",
    };
    for (size_t i = 0; i < sizeof protected / sizeof *protected; i++)
        not_open(protected[i], O_WRONLY | O_APPEND);
    if (value_of(count, words, "sysctl")) {
        int file = open("/proc/sys/vm/swappiness", O_WRONLY);
        say(file >= 0 && write(file, "61\n", 3) == 3, "write vm.swappiness");
    }
    const char *hidden[] = {"/proc/kcore", "/dev/mem", "/dev/kmsg", "/dev/fuse", "/dev/console", "/dev/kvm", "/dev/sda", "/dev/vda"};
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
        int file = open(hidden[i], O_RDONLY | O_NONBLOCK);
        char byte;
        /* Masked is as good as absent. */
        say(file >= 0 && read(file, &byte, 1) > 0, hidden[i]);
    }
}

static void device(const char *directory, mode_t kind, unsigned major, unsigned minor)
{
    char path[200], name[300];
    struct stat found;
    snprintf(path, sizeof path, "%s/node-%u-%u", directory, major, minor);
    snprintf(name, sizeof name, "device %u:%u in %s", major, minor, directory);
    unlink(path);
    if (mknod(path, kind | 0666, makedev(major, minor)))
        return say(0, name);
    int file = open(path, O_RDONLY | O_NONBLOCK);
    /* Where owners are recorded, so are device nodes; then an ordinary file is there, or nothing. */
    say(file >= 0 && !fstat(file, &found) && (found.st_mode & S_IFMT) == kind, name);
    if (file >= 0)
        close(file);
    unlink(path);
}

static void devices(int count, char **words)
{
    const char *directories[] = {"/opt", "/tmp", "/dev", "/dev/shm", "/run", "."};
    unsigned major = 0, minor = 0;
    const char *disk = value_of(count, words, "disk");
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
        device(directories[i], S_IFCHR, 1, 1);
        device(directories[i], S_IFCHR, 1, 11);
        device(directories[i], S_IFCHR, 1, 5);
        if (disk && sscanf(disk, "%u:%u", &major, &minor) == 2)
            device(directories[i], S_IFBLK, major, minor);
    }
}

static pid_t parent_of(pid_t pid)
{
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int file = open(path, O_RDONLY), parent = 0;
    if (file < 0)
        return 0;
    if (read(file, text, sizeof text - 1) > 0 && strrchr(text, ')'))
        sscanf(strrchr(text, ')') + 1, " %*c %d", &parent);
    close(file);
    return parent;
}

static int has_secret(const char *path, const char *secret)
{
    static char text[1 << 17];
    int file = open(path, O_RDONLY);
    ssize_t length = file < 0 ? 0 : read(file, text, sizeof text);
    if (file >= 0)
        close(file);
    return length > 0 && memmem(text, length, secret, strlen(secret)) != NULL;
}

/* `may_signal`: the first process of the step is one of its own, so it may be signalled; and nothing more. */
static void process(int count, char **words, pid_t pid, int may_signal)
{
    const char *marker = value_of(count, words, "marker"), *secret = value_of(count, words, "secret");
    char path[4200];
    struct stat found;
    struct rlimit limits;
    printf("process %d\n", pid);
    say(ptrace(PTRACE_SEIZE, pid, 0, 0) == 0, "ptrace");
    if (!may_signal) {
        say(kill(pid, 0) == 0, "kill");
        int file = syscall(SYS_pidfd_open, pid, 0);
        say(file >= 0 && !syscall(SYS_pidfd_send_signal, file, 0, NULL, 0), "pidfd_send_signal");
        if (file >= 0)
            close(file);
        /* Whoever may set another one's RLIMIT_CPU may end it. */
        say(prlimit(pid, RLIMIT_CPU, NULL, &limits) == 0, "prlimit");
    }
    const char *closed[] = {"mem", "environ", "maps", "fd", "map_files", "auxv"};
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, closed[i]);
        char byte;
        int file = open(path, O_RDONLY);
        if (!strcmp(closed[i], "fd") || !strcmp(closed[i], "map_files")) {
            /* Root may list the numbers (CAP_DAC_OVERRIDE); what they are open on must stay hidden. */
            DIR *directory = file < 0 ? NULL : fdopendir(file);
            int read_any = 0;
            char target[4096];
            for (struct dirent *entry; directory && (entry = readdir(directory));)
                read_any |= readlinkat(dirfd(directory), entry->d_name, target, sizeof target) > 0;
            say(read_any, path);
            if (directory)
                closedir(directory);
        } else {
            errno = 0;
            /* `mem` has nothing at address 0: a reader that may look gets EIO. */
            ssize_t length = file < 0 ? -1 : read(file, &byte, 1);
            say(file >= 0 && (length > 0 || errno == EIO), path);
            if (file >= 0)
                close(file);
        }
    }
    const char *links[] = {"root", "cwd", "exe", "ns/mnt", "fd/1"};
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        char target[4096];
        snprintf(path, sizeof path, "/proc/%d/%s", pid, links[i]);
        say(readlink(path, target, sizeof target) > 0, path);
    }
    if (marker) {
        snprintf(path, sizeof path, "/proc/%d/root%s", pid, marker);
        say(stat(path, &found) == 0, path);
        snprintf(path, sizeof path, "/proc/%d/cwd/../../../../../../../../%s", pid, marker);
        say(stat(path, &found) == 0, path);
    }
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    errno = 0;
    if (secret)
        say(has_secret(path, secret), "the environment outside");
}

static void processes(int count, char **words)
{
    const char *canary = value_of(count, words, "canary");
    pid_t shell = getppid();
    pid_t first = parent_of(shell);
    if (first == 0)
        first = 1;
    process(count, words, first, 1);
    for (pid_t above = parent_of(first); above > 0; above = parent_of(above))
        process(count, words, above, 0);
    if (canary) {
        process(count, words, atoi(canary), 0);
        say(kill(atoi(canary), SIGKILL) == 0, "kill -9 of a process outside");
    }
}

static void files(int count, char **words)
{
    const char *marker = value_of(count, words, "marker"), *hosts = value_of(count, words, "hosts");
    struct stat found;
    unsigned long long device = 0, inode = 0;
    char path[4200];
    for (int file = 3; file < 1024; file++)
        if (fcntl(file, F_GETFD) >= 0) {
            snprintf(path, sizeof path, "inherited descriptor %d", file);
            say(1, path);
        }
    if (!fstat(0, &found) && S_ISDIR(found.st_mode))
        say(1, "a directory as standard input");
    if (hosts && sscanf(hosts, "%llu:%llu", &device, &inode) == 2) {
        link("/etc/hosts", "/opt/hosts");
        const char *names[] = {"/etc/hosts", "/opt/hosts"};
        for (size_t i = 0; i < 2; i++) {
            int file = open(names[i], O_RDWR);
            say(file >= 0 && !fstat(file, &found) && found.st_dev == device && found.st_ino == inode, names[i]);
            if (file >= 0)
                close(file);
            int is_hosts = !stat(names[i], &found) && found.st_dev == device && found.st_ino == inode;
            say(is_hosts && !chmod(names[i], found.st_mode & 07777), "change the mode of the host's file");
        }
        unlink("/opt/hosts");
    }
    if (!marker)
        return;
    say(open(marker, O_RDONLY) >= 0, "the marker by its name");
    mkdir("/tmp/breakout", 0755);
    int top = open("/", O_RDONLY | O_DIRECTORY);
    if (chroot("/tmp/breakout"))
        say(0, "chroot");
    if (fchdir(top))
        say(0, "fchdir");
    for (int i = 0; i < 64; i++)
        if (chdir(".."))
            break;
    snprintf(path, sizeof path, ".%s", marker);
    say(open(path, O_RDWR) >= 0, "the marker after chroot and cd ..");
    if (chroot("."))
        say(0, "chroot .");
    say(open(marker, O_RDWR) >= 0, "the marker after a second chroot");
}

static void outside_socket(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    memcpy(address.sun_path + 1, name, length);
    int file = socket(AF_UNIX, SOCK_STREAM, 0);
    int failed = connect(file, (struct sockaddr *)&address, offsetof(struct sockaddr_un, sun_path) + 1 + length);
    printf("abstract socket %s\n", failed ? "closed" : "reached");
    close(file);
}

static void limits(void)
{
    struct rlimit core, open_files;
    unsigned head[2] = {0x20080522, 0}, sets[6] = {0};
    unsigned long long bounding = 0, ambient = 0;
    getrlimit(RLIMIT_CORE, &core);
    getrlimit(RLIMIT_NOFILE, &open_files);
    syscall(SYS_capget, head, sets);
    for (int bit = 0; bit < 64; bit++) {
        bounding |= (unsigned long long)(prctl(PR_CAPBSET_READ, bit, 0, 0, 0) == 1) << bit;
        ambient |= (unsigned long long)(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, bit, 0, 0) == 1) << bit;
    }
    mode_t mask = umask(0);
    umask(mask);
    printf("limits core %llu %llu files %llu umask %03o no_new_privs %d seccomp %d\n", (unsigned long long)core.rlim_cur,
           (unsigned long long)core.rlim_max, (unsigned long long)open_files.rlim_cur, mask,
           prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
    printf("capabilities effective %08x%08x permitted %08x%08x inheritable %08x%08x bounding %016llx ambient %016llx\n",
           sets[3], sets[0], sets[4], sets[1], sets[5], sets[2], bounding, ambient);
}

/* A daemon as they should be: two forks, a session of its own, no streams; and deaf. */
static void become_daemon(void)
{
    int ready[2];
    char byte;
    if (pipe(ready))
        exit(1);
    if (fork()) {
        close(ready[1]);
        exit(read(ready[0], &byte, 1) == 1 ? 0 : 1);
    }
    setsid();
    if (fork())
        _exit(0);
    const int deaf[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGPIPE, SIGCHLD};
    for (size_t i = 0; i < sizeof deaf / sizeof *deaf; i++)
        signal(deaf[i], SIG_IGN);
    for (int file = 0; file < 3; file++)
        close(file);
    if (write(ready[1], "x", 1) != 1)
        _exit(1);
    close(ready[0]);
    close(ready[1]);
}

int main(int count, char **words)
{
    if (count == 3 && !strcmp(words[1], "daemon")) {
        become_daemon();
        for (;;)
            pause();
    }
    if (count == 3 && !strcmp(words[1], "setcap")) {
        /* Version 2 with the effective bit; capability 10. */
        const unsigned char capability[20] = {1, 0, 0, 2, 0, 4};
        if (setxattr(words[2], "security.capability", capability, sizeof capability, 0)) {
            perror(words[2]);
            return 1;
        }
        return 0;
    }
    if (count == 3 && !strcmp(words[1], "fleeing")) {
        become_daemon();
        for (time_t end = time(NULL) + 20; time(NULL) < end;) {
            if (fork() > 0)
                _exit(0);
            setsid();
        }
        return 0;
    }
    const char *uid = value_of(count, words, "uid"), *name = value_of(count, words, "socket");
    printf("attempts as %d\n", geteuid());
    limits();
    if (uid) {
        say(geteuid() != (uid_t)atoi(uid) || getuid() != (uid_t)atoi(uid), "become another user");
        /* Where owners are recorded, the call is answered and nothing changes. */
        if (atoi(uid))
            say(setuid(0) == 0 && geteuid() == 0, "setuid(0)");
    }
    if (name)
        outside_socket(name);
    system_calls();
    terminals();
    kernel_files(count, words);
    devices(count, words);
    processes(count, words);
    files(count, words);
    printf("all attempts made\n");
    return 0;
}
