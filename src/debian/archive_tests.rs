use std::io::Write;

use super::*;

/// An `ar` archive of the members given.
fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, body) in members {
        let numbers = format!("{:<12}{:<6}{:<6}{:<8}{:<10}", 0, 0, 0, 100_644, body.len());
        writeln!(bytes, "{name:<16}{numbers}`").unwrap();
        bytes.extend_from_slice(body);
        if body.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// A tar whose names are written as they are, checked by nobody.
fn tar_of(members: &[(&str, EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, link, body) in members {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(42);
        header.set_mtime(1_700_000_000);
        header.set_size(body.len() as u64);
        header.set_cksum();
        builder.append(&header, *body).unwrap();
    }
    builder.into_inner().unwrap()
}

fn control_tar() -> Vec<u8> {
    tar_of(&[
        ("./", EntryType::Directory, "", b""),
        ("./control", EntryType::Regular, "", b"Package: zork\n"),
        ("./md5sums", EntryType::Regular, "", b""),
    ])
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut writer =
        lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// Writes `bytes` to a file and opens it as a package.
fn open(bytes: &[u8]) -> (tempfile::TempDir, Result<Deb, Error>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("zork.deb");
    std::fs::write(&path, bytes).unwrap();
    let deb = Deb::open(&path);
    (directory, deb)
}

fn package(data_name: &str, data: &[u8]) -> Vec<u8> {
    ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", &gzip(&control_tar())),
        (data_name, data),
    ])
}

/// The paths of a package's data, each with its kind and the length of its body.
fn list(bytes: &[u8]) -> Result<Vec<(String, Kind, usize)>, Error> {
    let (_directory, deb) = open(bytes);
    let mut listed = Vec::new();
    deb?.data(|member| {
        let mut body = Vec::new();
        member.body.read_to_end(&mut body).unwrap();
        assert_eq!(body.len() as u64, member.size_bytes);
        listed.push((member.path, member.kind, body.len()));
        Ok::<_, Error>(())
    })?;
    Ok(listed)
}

#[test]
fn packages_of_every_compression_give_their_files() {
    let long = format!("./usr/{}", "long/".repeat(40));
    let data = tar_of(&[
        ("./", EntryType::Directory, "", b""),
        ("./usr/", EntryType::Directory, "", b""),
        ("./usr/tool", EntryType::Regular, "", b"#!tool"),
        ("./usr/again", EntryType::Link, "./usr/tool", b""),
        (
            "./usr/link",
            EntryType::Symlink,
            "/etc/alternatives/tool",
            b"",
        ),
        (
            "././@LongLink",
            EntryType::GNULongName,
            "",
            format!("{long}\0").as_bytes(),
        ),
        ("./usr/cut", EntryType::Directory, "", b""),
    ]);
    let expected = [
        (String::new(), Kind::Directory, 0),
        ("usr".to_owned(), Kind::Directory, 0),
        ("usr/tool".to_owned(), Kind::File, 6),
        (
            "usr/again".to_owned(),
            Kind::HardLink("usr/tool".to_owned()),
            0,
        ),
        (
            "usr/link".to_owned(),
            Kind::Symlink("/etc/alternatives/tool".to_owned()),
            0,
        ),
        (long[2..long.len() - 1].to_owned(), Kind::Directory, 0),
    ];
    let zst = zstd::encode_all(&data[..], 1).unwrap();
    let rows = [
        ("data.tar", data.clone()),
        ("data.tar.gz", gzip(&data)),
        ("data.tar.xz", xz(&data)),
        ("data.tar.zst", zst),
    ];
    for (name, bytes) in rows {
        assert_eq!(list(&package(name, &bytes)).unwrap(), expected, "{name}");
    }
}

#[test]
fn control_files_come_by_name() {
    let (_directory, deb) = open(&package("data.tar", &tar_of(&[])));
    let files = deb.unwrap().control_files().unwrap();
    assert_eq!(files["control"], b"Package: zork\n");
    assert_eq!(files.len(), 2);
    let odd = tar_of(&[
        ("./control", EntryType::Regular, "", b""),
        ("./a/b", EntryType::Regular, "", b""),
    ]);
    for control in [
        tar_of(&[]),
        odd,
        tar_of(&[("./control", EntryType::Symlink, "/etc/shadow", b"")]),
    ] {
        let bytes = ar(&[
            ("debian-binary", b"2.0\n"),
            ("control.tar", &control),
            ("data.tar", &tar_of(&[])),
        ]);
        let (_directory, deb) = open(&bytes);
        assert!(matches!(
            deb.unwrap().control_files(),
            Err(Error::Deb { .. })
        ));
    }
}

#[test]
fn members_that_reach_out_of_the_package_are_refused() {
    let file = EntryType::Regular;
    let rows = [
        ("../etc/passwd", file, "", "outside"),
        ("./../etc/passwd", file, "", "outside"),
        ("./usr/../../etc/passwd", file, "", "outside"),
        ("/etc/passwd", file, "", "outside"),
        ("//etc/passwd", file, "", "outside"),
        (".//etc/passwd", file, "", "outside"),
        ("./usr/./tool", file, "", "outside"),
        ("./usr//tool", file, "", "outside"),
        ("..", EntryType::Directory, "", "outside"),
        ("./", file, "", "no directory"),
        (
            "./usr/tool",
            EntryType::Link,
            "../../etc/shadow",
            "links out",
        ),
        ("./usr/tool", EntryType::Link, "/etc/shadow", "links out"),
        ("./usr/tool", EntryType::Symlink, "", "target"),
        ("./dev/sda", EntryType::Block, "", "neither"),
        ("./dev/kmem", EntryType::Char, "", "neither"),
        ("./run/pipe", EntryType::Fifo, "", "neither"),
        ("./pax", EntryType::XHeader, "", "neither"),
        ("./sparse", EntryType::GNUSparse, "", "neither"),
    ];
    for (path, kind, link, expected) in rows {
        let error = list(&package("data.tar", &tar_of(&[(path, kind, link, b"")])))
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{path} -> {link}: {error}");
    }
    let hidden = b"./usr/tool\0/../../etc/passwd";
    let long = [
        ("././@LongLink", EntryType::GNULongName, "", &hidden[..]),
        ("./x", file, "", b""),
    ];
    assert!(
        list(&package("data.tar", &tar_of(&long)))
            .unwrap_err()
            .to_string()
            .contains("outside")
    );
}

#[test]
fn cut_and_crooked_archives_are_refused() {
    let data = xz(&tar_of(&[("./file", EntryType::Regular, "", &[7; 5000])]));
    let good = package("data.tar.xz", &data);
    assert_eq!(list(&good).unwrap().len(), 1);
    for end in 0..good.len() - 1 {
        assert!(
            matches!(list(&good[..end]), Err(Error::Deb { .. })),
            "cut at {end} of {}",
            good.len()
        );
    }
    let mut flipped = data.clone();
    flipped[data.len() / 2] ^= 1;
    let binary = ("debian-binary", &b"2.0\n"[..]);
    let control = control_tar();
    let rows = [
        ("a flipped bit", package("data.tar.xz", &flipped)),
        ("an unknown compression", package("data.tar.lz", &data)),
        (
            "two data members",
            ar(&[
                binary,
                ("control.tar", &control),
                ("data.tar.xz", &data),
                ("data.tar.xz", &data),
            ]),
        ),
        ("no control", ar(&[binary, ("data.tar.xz", &data)])),
        ("no data", ar(&[binary, ("control.tar", &control)])),
        (
            "another first member",
            ar(&[("control.tar", &control), binary, ("data.tar.xz", &data)]),
        ),
        ("no archive", b"<html>".to_vec()),
    ];
    for (what, bytes) in rows {
        assert!(matches!(list(&bytes), Err(Error::Deb { .. })), "{what}");
    }
}

#[test]
fn bombs_are_refused_before_they_fill_memory() {
    let zeros = vec![0; 40 << 20];
    let bomb = tar_of(&[("./control", EntryType::Regular, "", &zeros)]);
    let bytes = ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", &xz(&bomb)),
        ("data.tar", &tar_of(&[])),
    ]);
    let (_directory, deb) = open(&bytes);
    let error = deb.unwrap().control_files().unwrap_err().to_string();
    assert!(error.contains("unpacks to more than"), "{error}");

    let name = vec![b'a'; 1 << 20];
    let long = tar_of(&[
        ("././@LongLink", EntryType::GNULongName, "", &name),
        ("./x", EntryType::Regular, "", b""),
    ]);
    let error = list(&package("data.tar", &long)).unwrap_err().to_string();
    assert!(error.contains("a name is longer"), "{error}");

    // A dictionary of 1 GiB in the block header of an otherwise small stream.
    let mut thirsty =
        lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    thirsty.write_all(&tar_of(&[])).unwrap();
    let mut thirsty = thirsty.finish().unwrap();
    let filter = thirsty
        .windows(2)
        .position(|pair| pair == [0x21, 0x01])
        .unwrap();
    thirsty[filter + 2] = 36;
    let header = 12..12 + (usize::from(thirsty[12]) + 1) * 4;
    let crc = crc32fast::hash(&thirsty[header.start..header.end - 4]);
    thirsty[header.end - 4..header.end].copy_from_slice(&crc.to_le_bytes());
    let error = list(&package("data.tar.xz", &thirsty))
        .unwrap_err()
        .to_string();
    assert!(error.to_lowercase().contains("mem"), "{error}");
}
