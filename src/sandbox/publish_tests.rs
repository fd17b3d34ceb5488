use std::io::{Read, Write};

use super::*;

#[test]
fn ports_are_read_as_docker_writes_them() {
    let read = |text: &str| text.parse::<Publication>();
    assert_eq!(read("9000:80"), Ok(Publication::local(9000, 80)));
    assert_eq!(read("9000:80/tcp"), Ok(Publication::local(9000, 80)));
    assert_eq!(read("8080"), Ok(Publication::local(8080, 8080)));
    let any = Publication {
        address: Ipv4Addr::UNSPECIFIED.into(),
        ..Publication::local(9000, 80)
    };
    assert_eq!(read("0.0.0.0:9000:80"), Ok(any));
    assert_eq!(any.to_string(), "0.0.0.0:9000:80");
    let six = Publication {
        address: Ipv6Addr::LOCALHOST.into(),
        ..Publication::local(9000, 80)
    };
    assert_eq!(read("[::1]:9000:80"), Ok(six));
    assert_eq!(six.to_string().parse(), Ok(six));
    for wrong in [
        "",
        ":",
        "x",
        "80:",
        ":80",
        "0:80",
        "80:0",
        "70000:80",
        "80-90:80-90",
        "53:53/udp",
        "localhost:80:80",
        "1.2.3:80:80",
    ] {
        let error = read(wrong).unwrap_err();
        assert!(
            error.starts_with(&format!("`{wrong}` is no port")),
            "{error}"
        );
    }
}

/// A server that answers each connection with what it got, in capitals, once the client has said all.
fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut text = String::new();
                stream.read_to_string(&mut text).unwrap();
                stream.write_all(text.to_uppercase().as_bytes()).unwrap();
            });
        }
    });
    port
}

fn free() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn ask(port: u16, text: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn what_is_said_at_one_port_is_answered_from_the_other() {
    let (server, door) = (server(), free());
    let published = publish(&[Publication::local(door, server)]).unwrap();
    assert_eq!(published.count(), 1);
    let large = "a".repeat(1 << 20);
    let asking: Vec<_> = (0..8)
        .map(|number| {
            let text = format!("{number}{large}");
            thread::spawn(move || (ask(door, &text).unwrap(), text.to_uppercase()))
        })
        .collect();
    for asked in asking {
        let (answer, expected) = asked.join().unwrap();
        assert!(answer == expected, "{} bytes", answer.len());
    }
    drop(published);
    assert!(ask(door, "x").is_err(), "the port is closed");
}

#[test]
fn where_nobody_listens_the_connection_ends() {
    let (nobody, door) = (free(), free());
    let _published = publish(&[Publication::local(door, nobody)]).unwrap();
    let answer = ask(door, "x");
    assert!(answer.as_ref().map_or(true, String::is_empty), "{answer:?}");
}

#[test]
fn a_port_that_is_taken_is_told_and_nothing_stays_open() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().port();
    let door = free();
    for publication in [
        Publication::local(taken, 1),
        Publication::local(taken, taken),
    ] {
        let error = publish(&[Publication::local(door, 1), publication]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("127.0.0.1:{taken}")), "{text}");
        assert!(TcpListener::bind(("127.0.0.1", door)).is_ok());
    }
}

#[test]
fn the_process_itself_listens_where_both_ports_are_one() {
    let port = free();
    let published = publish(&[Publication::local(port, port)]).unwrap();
    assert_eq!(published.count(), 0);
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
}

#[test]
fn only_so_many_connections_have_a_place() {
    let open = Arc::new(AtomicUsize::new(0));
    let places: Vec<_> = (0..MOST_CONNECTIONS).map(|_| Place::take(&open)).collect();
    assert!(places.iter().all(Option::is_some));
    assert!(Place::take(&open).is_none());
    drop(places);
    assert!(Place::take(&open).is_some());
    assert_eq!(open.load(Ordering::SeqCst), 0);
}
