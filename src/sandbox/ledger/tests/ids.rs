//! Processes that change who they are.

use super::*;

/// Runs Python as somebody; an `assert` that does not hold fails the test.
fn python(step: Supervision, script: &str) -> (tempfile::TempDir, Ledger) {
    let directory = directory();
    let ((), ledger) = supervised(step, || {
        run("python3", &["-c", script], directory.path());
    });
    (directory, ledger)
}

#[test]
fn apt_can_drop_its_privileges_and_see_that_it_did() {
    // The order of calls and checks of `DropPrivileges` in apt-pkg/contrib/fileutl.cc.
    let script = r#"
import os
uid, gid = 42, 65534
os.setgroups([gid])
os.setresgid(gid, gid, gid)
os.setresuid(uid, uid, uid)
assert os.getgroups() == [gid], os.getgroups()
assert (os.getgid(), os.getegid(), os.getuid(), os.geteuid()) == (gid, gid, uid, uid)
assert os.getresuid() == (uid,) * 3 and os.getresgid() == (gid,) * 3
for back in (lambda: os.setuid(0), lambda: os.seteuid(0), lambda: os.setgid(0), lambda: os.setegid(0),
             lambda: os.setresuid(0, 0, 0), lambda: os.setreuid(-1, 0), lambda: os.setgroups([0])):
    try: back()
    except PermissionError: pass
    else: raise SystemExit('came back')
open('f', 'w').close()
os.chown('f', 42, gid)
try: os.chown('f', 0, 0)
except PermissionError: pass
else: raise SystemExit('gave away')
"#;
    let (directory, ledger) = python(supervision(0, 0), script);
    assert_owners(&ledger, directory.path(), &[("f", Some((42, 65534)))]);
}

#[test]
fn root_without_a_capability_may_not_do_what_takes_it() {
    let lacks = |set| Supervision {
        lacks: set,
        ..supervision(0, 0)
    };
    let tried = |set| {
        let directory = directory();
        let script = r#"
import os
open("f", "w")
def may(call, *arguments):
    try:
        call(*arguments)
        return 1
    except PermissionError:
        return 0
print(may(os.chown, "f", 7, 7), may(os.mknod, "n", 0o020600, os.makedev(1, 3)),
      may(os.setgroups, [5]), may(os.setgid, 9), may(os.setuid, 9))
"#;
        let path = directory.path().to_owned();
        let (text, _) = supervised(lacks(set), || {
            fs::write(path.join("script.py"), script).unwrap();
            sh(&path, "python3 script.py")
        });
        text
    };
    assert_eq!(tried(CapabilitySet::empty()), "1 1 1 1 1\n");
    assert_eq!(tried(CapabilitySet::CHOWN), "0 1 1 1 1\n");
    assert_eq!(tried(CapabilitySet::MKNOD), "1 0 1 1 1\n");
    assert_eq!(tried(CapabilitySet::SETGID), "1 1 0 0 1\n");
    assert_eq!(tried(CapabilitySet::SETUID), "1 1 1 1 0\n");
}

#[test]
fn the_step_is_who_it_should_be() {
    let step = Supervision {
        identity: Credentials {
            uid: 1001,
            gid: 7,
            groups: vec![7, 8, 9],
        },
        ..supervision(0, 0)
    };
    let directory = directory();
    let (text, _) = supervised(step, || {
        sh(directory.path(), "id -u; id -ru; id -g; id -G; exec id -u")
    });
    assert_eq!(text, "1001\n1001\n7\n7 8 9\n1001\n");
    let (text, _) = supervised(supervision(0, 0), || sh(directory.path(), "id -u; id -G"));
    assert_eq!(text, "0\n0\n");
}

#[test]
fn children_inherit_and_parents_do_not() {
    let script = r#"
import os, subprocess, threading
def child(check):
    pid = os.fork()
    if pid == 0:
        try: check(); os._exit(0)
        finally: os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
def drop():
    os.setresuid(5, 6, 7)
    child(grandchild)
def grandchild():
    assert os.getresuid() == (5, 6, 7)
    # Not by way of a shell: one whose two ids differ gives up the effective one.
    assert subprocess.check_output(['id', '-u']) == b'6\n'
    assert subprocess.check_output(['nice', 'env', 'id', '-ru']) == b'5\n'
# A child that drops leaves its parent as it is.
child(drop)
assert os.getresuid() == (0, 0, 0)
# A child that was there before its parent dropped stays as it was.
go, ready = os.pipe(), os.pipe()
before = os.fork()
if before == 0:
    os.read(go[0], 1)
    os._exit(0 if os.getuid() == 0 and os.popen('id -u').read() == '0\n' else 1)
os.setuid(42)
os.write(go[1], b'x')
assert os.waitpid(before, 0)[1] == 0
# All threads of a process are the same user.
seen = []
thread = threading.Thread(target=lambda: seen.append(os.getuid())); thread.start(); thread.join()
assert seen == [42], seen
"#;
    python(supervision(0, 0), script);
}

#[test]
fn what_a_user_put_aside_comes_back() {
    let script = r#"
import os, ctypes
os.seteuid(33); assert os.getresuid() == (0, 33, 0)
try: os.chown('.', 0, 0); raise SystemExit('33 is not root')
except PermissionError: pass
os.seteuid(0); os.chown('.', 9, 9)
c = ctypes.CDLL(None, use_errno=True)
assert c.setfsuid(5) == 0 and c.setfsuid(-1) == 5 and os.getuid() == 0
assert c.setfsuid(0) == 5
EFAULT, EINVAL, ENOMEM = 14, 22, 12
def fails(errno, result): assert result == -1 and ctypes.get_errno() == errno, (errno, result, ctypes.get_errno())
os.setgroups([1, 2, 3])
fails(EINVAL, c.getgroups(2, (ctypes.c_int * 2)()))
fails(EINVAL, c.getgroups(-1, None))
fails(EFAULT, c.getgroups(3, ctypes.c_void_p(8)))
fails(EFAULT, c.getresuid(ctypes.c_void_p(8), ctypes.c_void_p(8), ctypes.c_void_p(8)))
fails(EFAULT, c.setgroups(3, ctypes.c_void_p(8)))
fails(EINVAL, c.setgroups(70000, None))
fails(ENOMEM, c.setgroups(60000, None))
fails(EINVAL, c.setuid(-1))
assert c.getgroups(0, None) == 3
"#;
    let (directory, ledger) = python(supervision(0, 0), script);
    assert_eq!(owner(&ledger, directory.path()), Some((9, 9)));
}
