//! The loopback interface of a network namespace that has nothing else.

use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, sendto,
    socket_with,
};

/// The index of `lo`: the first interface of every network namespace.
const LOOPBACK: i32 = 1;

const RTM_NEWLINK: u16 = 16;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const IFF_UP: u32 = 1;

/// Raises `lo` in this process's network namespace.
///
/// # Spec
/// netlink(7) and rtnetlink(7): `struct nlmsghdr` (16 bytes) and `struct ifinfomsg` (16 bytes), in the machine's byte
/// order.
pub(super) fn raise_loopback() -> rustix::io::Result<()> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // Protocol 0 of this family is NETLINK_ROUTE.
        None,
    )?;
    let mut message = Vec::with_capacity(32);
    message.extend_from_slice(&32u32.to_ne_bytes());
    message.extend_from_slice(&RTM_NEWLINK.to_ne_bytes());
    message.extend_from_slice(&(NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    // Family, padding and device type stay 0.
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&LOOPBACK.to_ne_bytes());
    message.extend_from_slice(&IFF_UP.to_ne_bytes());
    message.extend_from_slice(&IFF_UP.to_ne_bytes());
    let kernel = netlink::SocketAddrNetlink::new(0, 0);
    sendto(socket.as_fd(), &message, SendFlags::empty(), &kernel)?;
    let mut answer = [0; 64];
    let (_, length) = recv(socket.as_fd(), &mut answer[..], RecvFlags::empty())?;
    let kind = u16::from_ne_bytes([answer[4], answer[5]]);
    if length < 20 || kind != NLMSG_ERROR {
        return Err(Errno::PROTO);
    }
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => Ok(()),
        negative => Err(Errno::from_raw_os_error(-negative)),
    }
}
