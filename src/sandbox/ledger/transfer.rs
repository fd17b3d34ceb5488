//! Handing the listener from the process that installs the filter to the one that supervises.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// Sends a descriptor to whoever listens at `path`. A socket's name holds 107 bytes, so the path is best a short,
/// relative one.
///
/// # Errors
/// What the kernel says of the path, or of the connection.
pub(in super::super) fn send_listener(path: &Path, listener: BorrowedFd<'_>) -> io::Result<()> {
    let stream = UnixStream::connect(path)?;
    let descriptors = [listener];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    // One byte goes with it: a descriptor alone is not sent.
    rustix::net::sendmsg(
        &stream,
        &[IoSlice::new(&[0])],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Accepts one connection and takes the descriptor that comes with its first byte; close-on-exec.
///
/// # Errors
/// What the kernel says, or [`io::ErrorKind::UnexpectedEof`] when no descriptor came.
pub(in super::super) fn receive_listener(socket: &UnixListener) -> io::Result<OwnedFd> {
    let (stream, _) = socket.accept()?;
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    rustix::net::recvmsg(
        stream.as_fd(),
        &mut [IoSliceMut::new(&mut byte)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let descriptor = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    descriptor.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the other side sent no descriptor",
        )
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_descriptor_arrives_and_its_absence_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let socket = UnixListener::bind(&path).unwrap();
        let (mut here, there) = UnixStream::pair().unwrap();
        send_listener(&path, there.as_fd()).unwrap();
        let mut received = UnixStream::from(receive_listener(&socket).unwrap());
        drop(there);
        received.write_all(b"through").unwrap();
        drop(received);
        let mut text = String::new();
        here.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");

        UnixStream::connect(&path).unwrap().write_all(b"x").unwrap();
        let error = receive_listener(&socket).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
