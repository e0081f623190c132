//! Netlink: the sockets and messages by which the kernel makes interfaces and packet filters.
//!
//! Invariant: every request is answered by the kernel before the call returns; nothing is left in flight. Deliberately
//! lacks notifications and dumps, which nothing here asks for.
//! Reference: netlink(7).

pub(crate) mod message;
pub(crate) mod nftables;
pub(crate) mod route;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use message::{HEADER, Request};

/// Room for the longest answer: an error carries the request that it is about.
const ANSWER_MAX: usize = 1 << 16;

/// A netlink socket in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    answer: Vec<u8>,
}

impl Socket {
    /// Opens one here; `protocol` is one of libc's `NETLINK_*`.
    pub(crate) fn open(protocol: i32) -> io::Result<Self> {
        // SAFETY: a plain socket call.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and belongs to nobody else.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) }, sequence: 0, answer: vec![0; ANSWER_MAX] })
    }

    /// Sends one request and waits until the kernel says that it was carried out.
    pub(crate) fn ask(&mut self, request: Request) -> io::Result<()> {
        self.send(&mut [request.acknowledged()])?;
        let last = self.sequence;
        self.answer_to(last..=last, |answer| match answer {
            Answer::Done => Some(()),
            Answer::Content(_) => None,
        })
    }

    /// Sends requests in one datagram, of which the kernel carries out all or none, and waits until it says which. The first
    /// error is that of the whole.
    pub(crate) fn ask_all(&mut self, mut requests: Vec<Request>) -> io::Result<()> {
        let first = self.sequence + 1;
        self.send(&mut requests)?;
        let last = self.sequence;
        self.answer_to(first..=last, |answer| match answer {
            Answer::Done => Some(()),
            Answer::Content(_) => None,
        })
    }

    /// Sends a question and returns the content of the answer, behind its header.
    pub(crate) fn query(&mut self, question: Request) -> io::Result<Vec<u8>> {
        self.send(&mut [question])?;
        let last = self.sequence;
        self.answer_to(last..=last, |answer| match answer {
            Answer::Done => Some(Vec::new()),
            Answer::Content(content) => Some(content.to_vec()),
        })
    }

    fn send(&mut self, requests: &mut [Request]) -> io::Result<()> {
        let mut datagram = Vec::new();
        for request in requests {
            self.sequence += 1;
            datagram.extend_from_slice(request.numbered(self.sequence));
        }
        // SAFETY: the buffer is valid for its length.
        let sent = unsafe { libc::send(self.fd.as_raw_fd(), datagram.as_ptr().cast(), datagram.len(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Reads until `found` makes something of an answer to the requests of these numbers, or one of them is refused.
    fn answer_to<T>(
        &mut self,
        numbers: std::ops::RangeInclusive<u32>,
        found: impl Fn(Answer<'_>) -> Option<T>,
    ) -> io::Result<T> {
        loop {
            let room = self.answer.as_mut_ptr().cast();
            // SAFETY: the buffer is valid for its length.
            let got = unsafe { libc::recv(self.fd.as_raw_fd(), room, self.answer.len(), 0) };
            if got < 0 {
                let error = io::Error::last_os_error();
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error);
            }
            for answer in answers(&self.answer[..got as usize], &numbers) {
                if let Some(wanted) = found(answer?) {
                    return Ok(wanted);
                }
            }
        }
    }
}

/// What the kernel says to a request.
#[derive(Debug, PartialEq, Eq)]
enum Answer<'a> {
    /// It was carried out.
    Done,
    /// This, behind the header.
    Content(&'a [u8]),
}

/// The answers in a datagram to requests of these numbers.
fn answers<'a>(
    datagram: &'a [u8],
    numbers: &std::ops::RangeInclusive<u32>,
) -> impl Iterator<Item = io::Result<Answer<'a>>> {
    messages(datagram)
        .filter(|(_, number, _)| numbers.contains(number))
        .filter_map(|(kind, _, content)| read_answer(kind, content))
}

fn read_answer(kind: u16, content: &[u8]) -> Option<io::Result<Answer<'_>>> {
    if i32::from(kind) != libc::NLMSG_ERROR {
        return Some(Ok(Answer::Content(content)));
    }
    match i32::from_ne_bytes(content.get(..4)?.try_into().ok()?) {
        0 => Some(Ok(Answer::Done)),
        negative => Some(Err(io::Error::from_raw_os_error(-negative))),
    }
}

/// The messages of a datagram: kind, sequence number, what is behind the header.
fn messages(datagram: &[u8]) -> impl Iterator<Item = (u16, u32, &[u8])> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let word = |at: usize| Some(u32::from_ne_bytes(rest.get(at..at + 4)?.try_into().ok()?));
        let (length, number) = (word(0)? as usize, word(8)?);
        let kind = u16::from_ne_bytes([rest[4], rest[5]]);
        let content = rest.get(HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, number, content))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_another_request_is_not_ours() {
        let refusal = Request::new(libc::NLMSG_ERROR as u16, 0, &(-libc::EEXIST).to_ne_bytes());
        let mut datagram = refusal.clone().numbered(3).to_vec();
        assert!(answers(&datagram, &(4..=9)).next().is_none());
        let error = answers(&datagram, &(1..=3)).next().unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EEXIST));
        for length in 0..datagram.len() {
            assert!(answers(&datagram[..length], &(3..=3)).next().is_none(), "{length} bytes");
        }
        let done = Request::new(libc::NLMSG_ERROR as u16, 0, &[0; 4]);
        datagram.extend_from_slice(done.clone().numbered(4));
        assert_eq!(answers(&datagram, &(4..=4)).next().unwrap().unwrap(), Answer::Done);
        let mut content = Request::new(100, 0, &[7, 7, 7, 7]);
        assert_eq!(
            answers(content.numbered(5), &(5..=5)).next().unwrap().unwrap(),
            Answer::Content(&[7, 7, 7, 7])
        );
    }
}
