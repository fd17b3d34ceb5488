//! Ports of this machine that lead to those of a process which shares its network.
//!
//! A sandbox has no network of its own that a port could lead into, so the process listens on this machine; where it should
//! be found at another port, connections are passed on to it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// So many connections are passed on at a time by one port; more are closed at once.
const MOST_CONNECTIONS: usize = 256;
/// How long the process may take to accept a connection.
const ACCEPT: Duration = Duration::from_secs(5);

/// A port of this machine, and the one that the process listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The address of this machine, loopback unless another one is named.
    pub address: IpAddr,
    /// The port of this machine.
    pub host: u16,
    /// The port of the process.
    pub container: u16,
}

impl Publication {
    /// Both ports on loopback.
    pub fn local(host: u16, container: u16) -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            host,
            container,
        }
    }

    /// True when the process itself listens there: nothing need be passed on.
    pub fn is_direct(&self) -> bool {
        self.host == self.container
    }

    fn at(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.host)
    }
}

impl fmt::Display for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.at(), self.container)
    }
}

impl FromStr for Publication {
    type Err = String;

    /// Reads `[IP:]HOST:CONTAINER` or `PORT`, each with `/tcp` behind it perhaps.
    ///
    /// # Spec
    /// docker-run(1), `--publish`; ranges, ports that Docker would choose, and UDP are refused.
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |reason: &str| Err(format!("`{text}` is no port: {reason}"));
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        if protocol != "tcp" {
            return refuse("only TCP is passed on");
        }
        let (address, host, container) = match ports.rsplit_once(':') {
            None => (None, ports, ports),
            Some((rest, container)) => match rest.rsplit_once(':') {
                Some((address, host)) => (Some(address), host, container),
                None => (None, rest, container),
            },
        };
        let number = |part: &str| part.parse().ok().filter(|port: &u16| *port > 0);
        let (Some(host), Some(container)) = (number(host), number(container)) else {
            return refuse("expected `HOST:CONTAINER`, both from 1 to 65535");
        };
        let address = match address {
            None => Ipv4Addr::LOCALHOST.into(),
            Some(address) => {
                let bare = address.trim_start_matches('[').trim_end_matches(']');
                match bare.parse() {
                    Ok(address) => address,
                    Err(_) => return refuse("what stands before the ports is no IP address"),
                }
            }
        };
        Ok(Self {
            address,
            host,
            container,
        })
    }
}

/// A port that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}")]
pub struct Taken {
    /// Where.
    pub address: SocketAddr,
    /// Why not.
    pub reason: String,
}

/// Ports that lead to a process, until this is dropped.
#[derive(Debug)]
pub struct Published {
    doors: Vec<Door>,
}

/// Opens the ports. One whose process listens there itself is only looked at: it must be free.
///
/// # Errors
/// [`Taken`] for the first port that cannot be had; then none is open.
pub fn publish(publications: &[Publication]) -> Result<Published, Taken> {
    let mut doors = Vec::new();
    for publication in publications {
        let address = publication.at();
        let taken = |error: io::Error| Taken {
            address,
            reason: crate::fs::reason(&error),
        };
        let listener = TcpListener::bind(address).map_err(taken)?;
        if !publication.is_direct() {
            doors.push(Door::open(listener, publication.container).map_err(taken)?);
        }
    }
    Ok(Published { doors })
}

impl Published {
    /// How many ports are passed on.
    pub fn count(&self) -> usize {
        self.doors.len()
    }
}

/// One port that is listened on.
#[derive(Debug)]
struct Door {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Door {
    fn open(listener: TcpListener, container: u16) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = thread::Builder::new()
            .name(format!("port {}", address.port()))
            .spawn(move || serve(&listener, container, &over))?;
        Ok(Self {
            address,
            is_over,
            thread: Some(thread),
        })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Whoever waits for the next connection wakes up by one.
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let is_awake = TcpStream::connect_timeout(&address, ACCEPT).is_ok();
        if let (true, Some(thread)) = (is_awake, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, container: u16, is_over: &AtomicBool) {
    let open = Arc::new(AtomicUsize::new(0));
    for client in listener.incoming() {
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else {
            // Too many open files, perhaps: soon there are fewer.
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        let place = Place::take(&open);
        let Some(place) = place else { continue };
        // Without a thread the connection is closed, which tells the client as much as there is to tell.
        let _ = thread::Builder::new().spawn(move || {
            pass_on(&client, container);
            drop(place);
        });
    }
}

/// One of the connections that may be open at a time.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(open));
        (open.fetch_add(1, Ordering::SeqCst) < MOST_CONNECTIONS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Passes bytes on in both directions until both sides have said all they had to say.
fn pass_on(client: &TcpStream, container: u16) {
    let addresses = [
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), container),
        SocketAddr::new(Ipv6Addr::LOCALHOST.into(), container),
    ];
    let connect = |address| TcpStream::connect_timeout(address, ACCEPT).ok();
    let Some(server) = addresses.iter().find_map(connect) else {
        return;
    };
    thread::scope(|scope| {
        let upwards = thread::Builder::new().spawn_scoped(scope, || copy(client, &server));
        if upwards.is_err() {
            let _ = server.shutdown(Shutdown::Both);
        }
        copy(&server, client);
    });
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    match io::copy(&mut from, &mut to) {
        // The other direction may have more to say.
        Ok(_) => drop(to.shutdown(Shutdown::Write)),
        Err(_) => {
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        }
    }
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
