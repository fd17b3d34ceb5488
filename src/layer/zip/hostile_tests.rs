//! Archives that could be understood in two ways, or hold too much.

use super::*;

#[test]
fn hostile_members_are_refused_by_name() {
    let a = || Made::deflated("a", &b"content".repeat(20));
    let named = |name: &str| Made::stored(name, b"x");
    let long = "x".repeat(256);
    let field = |bytes: &[u8]| bytes.to_vec();
    let table: Vec<(Vec<Made>, &str)> = vec![
        (vec![named("../b")], "`../b` has a name that points outside"),
        (vec![named("a/../b")], "points outside"),
        (vec![named("/b")], "`/b` has an absolute name"),
        (vec![named("a\\b")], "has a backslash"),
        (vec![named("C:b")], "begins with a drive"),
        (vec![named("a\0b")], "has a control character"),
        (vec![named("a\nb")], "has a control character"),
        (vec![named("a//b")], "empty or `.` components"),
        (vec![named("./b")], "empty or `.` components"),
        (vec![named("")], "has no name"),
        (vec![named(&long)], "longer than 255 bytes"),
        (vec![named("\u{e9}")], "neither ASCII nor marked"),
        (
            vec![named("a").with(|made| {
                made.name = vec![0xff];
                made.flags = 1 << 11;
            })],
            "not UTF-8",
        ),
        (vec![a(), a()], "`a` is there twice"),
        (
            vec![
                a(),
                named("a/").with(|made| {
                    *made = Made::stored("a/", b"");
                    made.attributes = 0;
                }),
            ],
            "there twice",
        ),
        (vec![a(), named("a/b")], "`a/b` is in `a`, which is a file"),
        (vec![a().with(|made| made.flags = 1)], "`a` is encrypted"),
        (vec![a().with(|made| made.flags = 1 << 6)], "is encrypted"),
        (vec![a().with(|made| made.flags = 1 << 13)], "is encrypted"),
        (
            vec![a().with(|made| made.flags = 1 << 5)],
            "flags that are unknown",
        ),
        (vec![a().with(|made| made.method = 9)], "packed by method 9"),
        (
            vec![a().with(|made| made.method = 0)],
            "is stored, but its packed size",
        ),
        (
            vec![named("a").with(|made| made.attributes = 0o120_777 << 16)],
            "is a symbolic link",
        ),
        (
            vec![named("a").with(|made| made.attributes = 0o010_644 << 16)],
            "neither a file nor a directory",
        ),
        (
            vec![named("a").with(|made| made.attributes = 0o040_755 << 16)],
            "is a directory and has the name of a file",
        ),
        (
            vec![named("a/").with(|made| made.attributes = 0o100_644 << 16)],
            "has the name of a directory and is none",
        ),
        (
            vec![named("a/").with(|made| made.attributes = 0)],
            "is a directory with content",
        ),
        (vec![a().with(|made| made.disk = 1)], "on another disk"),
        (
            vec![a().with(|made| made.extra = field(&[1, 0, 9, 0]))],
            "extra field that is cut off",
        ),
        (
            vec![a().with(|made| made.extra = field(&[1, 0, 0, 0, 1, 0, 0, 0]))],
            "extra field twice",
        ),
        (
            vec![
                a().long()
                    .with(|made| made.extra.truncate(12))
                    .with(|made| made.extra[2] = 8),
            ],
            "zip64 field that is cut off",
        ),
        (
            vec![a().with(|made| made.extra = field(&[0x75, 0x70, 6, 0, 1, 0, 0, 0, 0, b'b']))],
            "second name",
        ),
        (
            vec![
                a().with(|made| made.local_extra = field(&[0x75, 0x70, 6, 0, 1, 0, 0, 0, 0, b'b'])),
            ],
            "second name",
        ),
        (
            vec![a().with(|made| made.after = b"x".to_vec())],
            "followed by bytes that belong to no member",
        ),
        (
            vec![a().described(true, false).with(|made| made.after.push(0))],
            "no data descriptor",
        ),
        (
            vec![a().described(true, false).with(|made| made.after[5] ^= 1)],
            "descriptor that does not agree",
        ),
        (
            vec![a().described(true, false).with(|made| made.after[0] ^= 1)],
            "descriptor that does not agree",
        ),
        (
            vec![
                a(),
                a().with(|made| {
                    made.name = b"b".to_vec();
                    made.offset = Some(0);
                }),
            ],
            "overlaps",
        ),
        (
            vec![a(), named("b").with(|made| made.offset = Some(3))],
            "overlaps",
        ),
        (
            vec![a().with(|made| made.offset = Some(4000))],
            "bytes before its first member",
        ),
        (vec![a().with(|made| made.packed += 1)], "overlaps"),
        (
            vec![a(), named("b").with(|made| made.data.clear())],
            "overlaps",
        ),
        (
            vec![a().with(|made| made.crc32 ^= 1)],
            "`a` has another CRC-32",
        ),
        (
            vec![named("a").with(|made| made.crc32 ^= 1)],
            "another CRC-32",
        ),
        (
            vec![a().with(|made| made.size += 1)],
            "has 140 bytes of content, not the 141",
        ),
        (
            vec![a().with(|made| made.size -= 1)],
            "has more content than the 139",
        ),
        (
            vec![a().with(|made| {
                made.data.push(0);
                made.packed += 1;
            })],
            "bytes after the end of its deflate",
        ),
        (
            vec![a().with(|made| {
                made.data.pop();
                made.packed -= 1;
            })],
            "without an end",
        ),
        (
            vec![a().with(|made| made.data = vec![0xff; made.data.len()])],
            "no deflate stream",
        ),
        (
            vec![a().with(|made| {
                made.data.clear();
                made.packed = 0;
            })],
            "without an end",
        ),
    ];
    for (members, expected) in table {
        let error = read_all(&archive(&members))
            .expect_err(expected)
            .to_string();
        assert!(error.contains(expected), "{error} (expected: {expected})");
    }
    // What the local header says alone.
    let (other, sizes) = ("other than the directory says", "sizes or a CRC other than");
    type Change = fn(&mut Local);
    let table: [(Change, &str); 7] = [
        (|local| local.0 = b"b".to_vec(), other),
        (|local| local.1 = 1 << 11, other),
        (|local| local.2 = 0, other),
        (|local| local.3 ^= 1, sizes),
        (|local| local.4 += 1, sizes),
        (|local| local.5 += 1, sizes),
        (|local| local.4 = 0, sizes),
    ];
    for (change, expected) in table {
        let made = a().with(|made| {
            let mut local = (
                made.name.clone(),
                made.flags,
                made.method,
                made.crc32,
                made.packed,
                made.size,
            );
            change(&mut local);
            made.local = Some(local);
        });
        let error = read_all(&archive(&[made])).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn hostile_archives_are_refused() {
    let members = [
        Made::deflated("a", b"content"),
        Made::stored("b", b"content"),
    ];
    let good = archive(&members);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    let end = good.len() - 22;
    let two_ends = changed(&|bytes| {
        let again = bytes[end..].to_vec();
        bytes[end + 20] = 22;
        bytes.extend(again);
    });
    let prefixed = [b"#!x", &good[..]].concat();
    let table: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "is no zip archive"),
        (b"PK".to_vec(), "is no zip archive"),
        (vec![0; 70_000], "is no zip archive"),
        (changed(&|bytes| bytes.push(0)), "bytes after its end"),
        (prefixed, "not where it says"),
        (two_ends, "two ends"),
        (changed(&|bytes| bytes[end + 4] = 1), "several disks"),
        (
            changed(&|bytes| {
                bytes[end + 4] = 1;
                bytes[end + 6] = 1;
            }),
            "several disks",
        ),
        (changed(&|bytes| bytes[end + 8] = 1), "several disks"),
        (
            changed(&|bytes| {
                bytes[end + 8] = 3;
                bytes[end + 10] = 3;
            }),
            "2 members in its directory but says that there are 3",
        ),
        (changed(&|bytes| bytes[end + 12] ^= 1), "not where it says"),
        (changed(&|bytes| bytes[end + 16] ^= 1), "not where it says"),
        (
            changed(&|bytes| bytes[end - 47] ^= 1),
            "directory that is cut off or damaged",
        ),
        (
            changed(&|bytes| bytes[0] ^= 1),
            "`a` is not where the directory says",
        ),
        (
            archive64(&members, |values| values[0] = 43),
            "zip64 end that does not agree",
        ),
        (
            archive64(&members, |values| values[1] = 3),
            "says that there are 3",
        ),
        (
            archive64(&members, |values| values[2] -= 1),
            "not where it says",
        ),
        (
            archive64(&members, |values| values[3] = u64::MAX),
            "not where it says",
        ),
    ];
    for (bytes, expected) in table {
        let error = read_all(&bytes).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error} (expected: {expected})");
    }
    for length in 0..good.len() {
        assert!(read_all(&good[..length]).is_err(), "cut to {length} bytes");
    }
    // Cut off after it was opened.
    let archive = Archive::open(&good[..], &Limits::default()).unwrap();
    let member = archive.members()[0].clone();
    let cut = Archive {
        reader: &good[..35],
        members: vec![member.clone()],
    };
    let error = cut.read(&member, 100).unwrap_err().to_string();
    assert!(error.contains("`a` is cut off"), "{error}");
    let error = archive.read(&member, 3).unwrap_err().to_string();
    assert!(error.contains("larger than 3 bytes"), "{error}");
}

#[test]
fn bombs_and_floods_are_refused_before_anything_is_unpacked() {
    let bytes = archive(&[
        Made::deflated("zeros", &vec![0; 200_000]),
        Made::deflated("more", &vec![0; 200_000]),
    ]);
    let open = |limits: Limits| {
        Archive::open(&bytes[..], &limits)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let limits = Limits::default();
    open(limits).unwrap();
    let small = Limits {
        small_bytes: 100_000,
        ..limits
    };
    let error = open(small).unwrap_err();
    assert!(
        error.contains("`zeros` unpacks to 200000 bytes, more than 500 times"),
        "{error}"
    );
    let error = open(Limits {
        member_ratio: 2000,
        ..small
    })
    .unwrap_err();
    assert!(error.contains("unpacks to 400000 bytes"), "{error}");
    open(Limits {
        member_ratio: 2000,
        archive_ratio: 2000,
        ..small
    })
    .unwrap();
    let error = open(Limits {
        unpacked_bytes: 399_999,
        ..limits
    })
    .unwrap_err();
    assert!(error.contains("the limits are 399999 bytes"), "{error}");
    for limits in [
        Limits {
            members: 1,
            ..limits
        },
        Limits {
            directory_bytes: 50,
            ..limits
        },
    ] {
        let error = open(limits).unwrap_err();
        assert!(error.contains("directory of 2 members"), "{error}");
    }
}
