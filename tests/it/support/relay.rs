//! Somebody between a client and a server, on loopback: a line that breaks, or a proxy.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A listener that hands each connection to a function, with its number; stops when dropped.
pub struct Relay {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    fn serve(work: impl Fn(TcpStream, usize) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let (end, work) = (Arc::clone(&is_over), Arc::new(work));
        let thread = std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let work = Arc::clone(&work);
                // Lines that break are what this is for.
                std::thread::spawn(move || drop(work(stream, number)));
            }
        });
        Self {
            address,
            is_over,
            thread: Some(thread),
        }
    }

    /// A line to `target`. `up` and `down` say after how many bytes in each direction a connection breaks; they are
    /// asked when the first mebibyte has passed and told how many connections got so far before.
    pub fn breaking(
        target: &str,
        up: fn(usize) -> Option<u64>,
        down: fn(usize) -> Option<u64>,
    ) -> Self {
        let target = target.to_owned();
        let large = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
        Self::serve(move |client, _| {
            let server = TcpStream::connect(&target)?;
            let [ups, downs] = large.clone();
            let (from, to) = (client.try_clone()?, server.try_clone()?);
            let upwards = std::thread::spawn(move || pass(&from, &to, &ups, up));
            drop(pass(&server, &client, &downs, down));
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
            drop(upwards.join());
            Ok(())
        })
    }

    /// A registry's copy that lags behind `target`: once somebody has written `tag`, the next `count` who read it get what
    /// `other` stands for; and how many have read it then.
    pub fn lagging(
        target: &str,
        tag: &'static str,
        other: &'static str,
        count: usize,
    ) -> (Self, Arc<AtomicUsize>) {
        let reads: Arc<AtomicUsize> = Arc::default();
        let (seen, is_written) = (Arc::clone(&reads), AtomicBool::new(false));
        let target = target.to_owned();
        let relay = Self::serve(move |client, _| {
            let mut reader = BufReader::new(client.try_clone()?);
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                match line.trim_end() {
                    "" => break,
                    line => head.push(line.to_owned()),
                }
            }
            let Some(first) = head.first_mut() else {
                return Ok(());
            };
            let (method, path) = first.split_once(' ').unwrap_or_default();
            let is_meant = path.contains(&format!("/manifests/{tag} "));
            match method {
                "PUT" if is_meant => is_written.store(true, Ordering::SeqCst),
                "GET" | "HEAD"
                    if is_meant
                        && is_written.load(Ordering::SeqCst)
                        && seen.fetch_add(1, Ordering::SeqCst) < count =>
                {
                    *first = first.replace(
                        &format!("/manifests/{tag} "),
                        &format!("/manifests/{other} "),
                    );
                }
                _ => {}
            }
            // One request for each connection, so that each is seen.
            head.retain(|line| !line.to_ascii_lowercase().starts_with("connection:"));
            head.push("Connection: close".to_owned());
            let server = TcpStream::connect(&target)?;
            (&server).write_all((head.join("\r\n") + "\r\n\r\n").as_bytes())?;
            let mut to = server.try_clone()?;
            let upwards = std::thread::spawn(move || drop(io::copy(&mut reader, &mut to)));
            drop(io::copy(&mut &server, &mut &client));
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
            drop(upwards.join());
            Ok(())
        });
        (relay, reads)
    }

    /// A proxy that does what `CONNECT` asks of it for those who send `Proxy-Authorization: wanted`; what was asked.
    pub fn proxy(wanted: &'static str) -> (Self, Arc<Mutex<Vec<String>>>) {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&asked);
        let relay = Self::serve(move |client, _| {
            let mut reader = BufReader::new(client.try_clone()?);
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                match line.trim_end() {
                    "" => break,
                    line => head.push(line.to_owned()),
                }
            }
            let first = head.first().cloned().unwrap_or_default();
            log.lock().unwrap().push(first.clone());
            let is_known = head.iter().any(|line| {
                let (name, value) = line.split_once(':').unwrap_or_default();
                name.eq_ignore_ascii_case("proxy-authorization") && value.trim() == wanted
            });
            let target = first
                .strip_prefix("CONNECT ")
                .and_then(|rest| rest.split(' ').next());
            let Some(target) = target.filter(|_| is_known) else {
                return (&client).write_all(
                    b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                );
            };
            let server = TcpStream::connect(target)?;
            (&client).write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
            let upwards = std::thread::spawn(move || {
                drop(io::copy(&mut from, &mut to));
                let _ = to.shutdown(Shutdown::Both);
            });
            drop(io::copy(&mut &server, &mut &client));
            let _ = client.shutdown(Shutdown::Both);
            drop(upwards.join());
            Ok(())
        });
        (relay, asked)
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }
}

/// Passes bytes on until they end or the line breaks.
fn pass(
    mut from: &TcpStream,
    mut to: &TcpStream,
    large: &AtomicUsize,
    cut: fn(usize) -> Option<u64>,
) -> io::Result<()> {
    let mut limit = None;
    let (mut passed, mut buffer) = (0_u64, vec![0; 64 << 10]);
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return to.shutdown(Shutdown::Write);
        }
        let before = passed;
        passed += count as u64;
        if before < 1 << 20 && passed >= 1 << 20 {
            limit = cut(large.fetch_add(1, Ordering::SeqCst));
        }
        if limit.is_some_and(|limit| passed > limit) {
            to.shutdown(Shutdown::Both)?;
            return from.shutdown(Shutdown::Both);
        }
        to.write_all(&buffer[..count])?;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener up.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}
