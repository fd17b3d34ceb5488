//! The layers and the scripts of `same_bytes_tests`.

use super::same_bytes_tests::{LIMIT, path, tar_of};
use crate::layer::{Entry, Kind, LayerWriter};

/// Writes a layer: `kind mode uid:gid name`, then the content, the target or the device's minor number.
fn layer(members: &[&str]) -> Vec<u8> {
    let mut writer = LayerWriter::new(Vec::new(), LIMIT, 1);
    for member in members {
        let words: Vec<&str> = member.split(' ').collect();
        let [kind, mode, ids, name] = words[..4] else {
            panic!("{member}");
        };
        let rest = words.get(4).copied().unwrap_or_default();
        let name = name.replace("%ff", "\u{fffd}");
        // A name that is no UTF-8.
        let name: Vec<u8> = name
            .chars()
            .flat_map(|c| match c {
                '\u{fffd}' => vec![0xff],
                c => c.to_string().into_bytes(),
            })
            .collect();
        let kind = match kind {
            "d" => Kind::Directory,
            "l" => Kind::Symlink {
                target: rest.into(),
            },
            "h" => Kind::HardLink {
                target: path(rest.as_bytes()),
            },
            "p" => Kind::Fifo,
            "c" => Kind::CharacterDevice {
                major: 1,
                minor: rest.parse().unwrap(),
            },
            _ => Kind::File {
                size: rest.len() as u64,
            },
        };
        let is_file = matches!(kind, Kind::File { .. });
        let mut entry = Entry::new(path(&name), kind, u32::from_str_radix(mode, 8).unwrap());
        let (uid, gid) = ids.split_once(':').unwrap();
        (entry.uid, entry.gid) = (uid.parse().unwrap(), gid.parse().unwrap());
        entry.mtime = 500_000_000;
        if name == b"etc/attributed" {
            entry
                .xattrs
                .insert(b"user.note".to_vec(), b"from below".to_vec());
        }
        let content = if is_file { rest.as_bytes() } else { b"" };
        writer.append(&entry, content).unwrap();
    }
    let (compressed, _) = writer.finish().unwrap();
    tar_of(&compressed)
}

/// The layers, topmost first, as tars.
pub(super) fn base() -> Vec<Vec<u8>> {
    let long = "n".repeat(250);
    let file = |name: &str| format!("f 644 0:0 {name} 1");
    let mut bottom: Vec<String> = [
        "d 755 0:0 .",
        "d 755 0:0 etc",
        "f 644 0:0 etc/passwd root",
        "f 640 0:42 etc/shadow secret",
        "f 644 0:0 etc/attributed 1",
        "l 777 0:0 etc/link passwd",
        "d 755 0:0 bin",
        "f 4755 0:0 bin/su su",
        "h 4755 0:0 bin/sudo bin/su",
        "h 4755 0:0 bin/sudoedit bin/su",
        "l 777 0:0 sbin bin",
        "d 775 1001:0 opt",
        "d 2775 1001:50 opt/shared",
        "f 664 1001:50 opt/shared/file 1",
        "d 755 33:33 opt/www",
        "f 644 33:33 opt/www/index old",
        "f 644 33:33 opt/www/other old",
        "d 755 0:0 usr",
        "d 755 0:0 usr/doc",
        "d 755 0:0 usr/doc/a",
        "d 755 0:0 usr/doc/a/b",
        "f 644 0:0 usr/doc/a/b/one 1",
        "f 644 0:0 usr/doc/a/b/two 2",
        "f 644 0:0 usr/doc/a/three 3",
        "f 644 0:0 usr/doc/four 4",
        "f 644 0:0 usr/doc/hidden below",
        "d 755 0:0 usr/replaced",
        "f 644 0:0 usr/replaced/hidden below",
        "p 600 0:0 usr/fifo",
        "d 755 0:0 dev",
        "c 666 0:5 dev/null 3",
        "d 1777 0:0 tmp",
        "f 644 7:7 odd%ff\u{e9} odd",
        "d 700 0:0 closed",
        "f 600 0:0 closed/file 1",
    ]
    .map(str::to_owned)
    .to_vec();
    bottom.push(file(&long));
    let top = [
        "d 755 0:0 usr",
        "d 755 0:0 usr/doc",
        "f 0 0:0 usr/doc/.wh.hidden",
        "d 755 0:0 usr/replaced",
        "f 0 0:0 usr/replaced/.wh..wh..opq",
        "f 644 0:0 usr/replaced/new above",
        "f 600 5:5 usr/doc/four above",
        "d 775 1001:0 opt",
        "d 755 33:33 opt/www",
        "f 644 33:34 opt/www/top top",
    ];
    let bottom: Vec<&str> = bottom.iter().map(String::as_str).collect();
    vec![layer(&top), layer(&bottom)]
}

/// The scripts, and what each changes.
pub(super) fn table() -> Vec<(&'static str, &'static str)> {
    vec![
        ("write etc/new 1\nwrite new 2", "+/etc/new +/new"),
        ("append etc/passwd more", "+/etc/passwd"),
        (
            "truncate etc/passwd 2\ntruncate opt/www/index 9",
            "+/etc/passwd +/opt/www/index",
        ),
        ("chmod etc/passwd 600\nchmod opt 700", "+/etc/passwd +/opt"),
        ("chmod etc/passwd 600\nchmod etc/passwd 644", ""),
        (
            "rm etc/passwd\nrm usr/fifo\nrm etc/link",
            "-/etc/link -/etc/passwd -/usr/fifo",
        ),
        ("rm etc/passwd\nwrite etc/passwd root", ""),
        ("rmr usr/doc", "-/usr/doc"),
        (
            "rmr usr/doc\nmkdir usr/doc\nmkdir usr/doc/a\nwrite usr/doc/a/three 3\nwrite usr/doc/new 1",
            "-/usr/doc/a/b -/usr/doc/four +/usr/doc/new",
        ),
        (
            "rmr usr/doc\nmkdir usr/doc\nchmod usr/doc 750",
            "+/usr/doc -/usr/doc/a -/usr/doc/four",
        ),
        (
            "rmr usr/replaced\nmkdir usr/replaced\nwrite usr/replaced/hidden below",
            "+/usr/replaced/hidden -/usr/replaced/new",
        ),
        ("mv etc/passwd etc/moved", "+/etc/moved -/etc/passwd"),
        (
            "mv opt/www/index etc/passwd",
            "+/etc/passwd -/opt/www/index",
        ),
        ("mv etc/passwd x\nmv x etc/passwd", ""),
        (
            "mv etc/passwd x\nmv etc/attributed etc/passwd\nmv x etc/attributed",
            "+/etc/attributed +/etc/passwd",
        ),
        (
            "mv usr/doc usr/documents",
            "-/usr/doc +/usr/documents +/usr/documents/a +/usr/documents/a/b +/usr/documents/a/b/one +/usr/documents/a/b/two +/usr/documents/a/three +/usr/documents/four",
        ),
        ("mv usr/doc/a a\nmv a usr/doc/a", ""),
        (
            "ln etc/passwd etc/again",
            "+/etc/again =/etc/passwd /etc/again",
        ),
        (
            "ln etc/passwd z\nln z y\nappend y more",
            "+/etc/passwd =/y /etc/passwd =/z /etc/passwd",
        ),
        ("ln etc/passwd z\nrm z", ""),
        ("ln etc/passwd z\nrm etc/passwd", "-/etc/passwd +/z"),
        // T12 of rust-crates.md: the layer's other names keep what they had.
        ("append bin/su more", "+/bin/su"),
        (
            "ln bin/su bin/third\nchmod bin/sudo 755",
            "+/bin/su +/bin/sudo =/bin/third /bin/su",
        ),
        ("rm etc/link\nsymlink shadow etc/link", "+/etc/link"),
        ("rm etc/link\nsymlink passwd etc/link", ""),
        ("rm sbin\nmkdir sbin\nwrite sbin/su 1", "+/sbin +/sbin/su"),
        (
            "rm etc/passwd\nmkdir etc/passwd\nwrite etc/passwd/x 1",
            "+/etc/passwd +/etc/passwd/x",
        ),
        ("rmr usr/doc\nwrite usr/doc 1", "+/usr/doc"),
        ("rmr usr/doc\nsymlink replaced usr/doc", "+/usr/doc"),
        ("rmr opt/www\nsocket opt/www", "-/opt/www"),
        (
            "replace etc/passwd\nrewrite etc/shadow\nopen opt/www/index",
            "",
        ),
        ("touch etc/passwd 7\ntouch etc/shadow 1500000000", ""),
        ("touch etc/passwd 7\nchmod etc/passwd 600", "+/etc/passwd"),
        (
            "write new 1\ntouch new 7\nmkdir d\nwrite d/old 1\ntouch d/old 7",
            "+/d +/d/old +/new",
        ),
        (
            "xattr etc/passwd user.note a%00b\nxattr opt user.note 1",
            "+/etc/passwd +/opt",
        ),
        ("unxattr etc/attributed user.note", "+/etc/attributed"),
        (
            "xattr etc/passwd security.capability %01%00%00%02%00%20%00%00%00%00%00%00%00%00%00%00%00%00%00%00",
            "+/etc/passwd",
        ),
        (
            "chmod etc/passwd 6755\nappend bin/su more",
            "+/bin/su +/etc/passwd",
        ),
        ("write sparse x\ntruncate sparse 1000000", "+/sparse"),
        ("fifo f\nrm usr/fifo\nwrite usr/fifo 1", "+/f +/usr/fifo"),
        ("socket s\nmkdir d\nsocket d/s", "+/d"),
        (
            "mknod dev/full 1 7\nrm dev/null\nmknod dev/null 1 3\nchmod dev/null 666",
            "+/dev/full +/dev/null",
        ),
        (
            "append odd%ff%c3%a9 more\nwrite a%0ab%20c 1\nrm closed/file",
            "+/a\\nb c -/closed/file +/odd\\xff\\xc3\\xa9",
        ),
        (
            "chown etc/passwd 1001 50\nchown opt/www/index 0 0\nchown opt 7 7",
            "+/etc/passwd +/opt +/opt/www/index",
        ),
        (
            "chown etc/link 5 5\nchown bin/su 0 0\nchown opt/www/other 33 33",
            "+/bin/su +/etc/link",
        ),
        // New files in a setgid directory have its group, whatever user makes them.
        (
            "write opt/shared/new 1\nmkdir opt/shared/d\nwrite opt/shared/d/f 1",
            "+/opt/shared/d +/opt/shared/d/f +/opt/shared/new",
        ),
        // An owner that is not the step's, kept by renaming and by writing.
        (
            "mv opt/www/index etc/index\nappend opt/www/other more\nreplace opt/shared/file",
            "+/etc/index +/opt/shared/file -/opt/www/index +/opt/www/other",
        ),
        (
            "rmr opt/www\nmkdir opt/www\nwrite opt/www/index old",
            "+/opt/www +/opt/www/index -/opt/www/other -/opt/www/top",
        ),
        ("mkdir d\nmkdir d/e\nwrite d/e/f 1\nrmr d", ""),
        (
            "write usr/doc/hidden below\nwrite usr/replaced/hidden below",
            "+/usr/doc/hidden +/usr/replaced/hidden",
        ),
        (
            "append usr/doc/a/b/one x\nwrite usr/new 1",
            "+/usr/doc/a/b/one +/usr/new",
        ),
    ]
}
