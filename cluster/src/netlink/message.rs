//! Netlink messages: building requests, reading the attributes of answers.
//!
//! Invariant: everything is aligned to four bytes, and every nest knows its length. Reading never goes behind the end of
//! what was received. Reference: netlink(7), linux/netlink.h.

/// The size of `struct nlmsghdr`.
pub(super) const HEADER: usize = 16;
/// The size of `struct nlattr`.
const ATTRIBUTE_HEADER: usize = 4;
/// The bits of an attribute's kind that are flags.
const KIND_FLAGS: u16 = (libc::NLA_F_NESTED | libc::NLA_F_NET_BYTEORDER) as u16;

/// A request under construction: header, fixed part, attributes.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// Begins one with libc's flags `NLM_F_*` (`NLM_F_REQUEST` is understood) and the fixed part of its kind.
    pub(crate) fn new(kind: u16, flags: i32, fixed: &[u8]) -> Self {
        let flags = (flags | libc::NLM_F_REQUEST) as u16;
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(fixed);
        Self { bytes }
    }

    /// The same, for which the kernel says when it has carried it out. An error it says in any case.
    pub(super) fn acknowledged(mut self) -> Self {
        let flags = u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) | libc::NLM_F_ACK as u16;
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        self
    }

    /// The finished message with this sequence number.
    pub(super) fn numbered(&mut self, sequence: u32) -> &[u8] {
        let length = self.bytes.len() as u32;
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        &self.bytes
    }

    /// Adds an attribute.
    pub(crate) fn attribute(&mut self, kind: u16, content: &[u8]) {
        let length = (ATTRIBUTE_HEADER + content.len()) as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Adds a text, which ends with a zero.
    pub(crate) fn text(&mut self, kind: u16, content: &str) {
        let mut terminated = content.as_bytes().to_vec();
        terminated.push(0);
        self.attribute(kind, &terminated);
    }

    /// Adds a number as the packet filter wants them: the high byte first.
    pub(super) fn number(&mut self, kind: u16, number: u32) {
        self.attribute(kind, &number.to_be_bytes());
    }

    /// Adds an attribute that holds others.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.attribute(kind | libc::NLA_F_NESTED as u16, &[]);
        fill(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    /// Adds bytes that are no attribute, a structure inside a nest.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}

/// The attributes in these bytes, each with its kind.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let head = rest.get(..ATTRIBUTE_HEADER)?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]) & !KIND_FLAGS;
        let content = rest.get(ATTRIBUTE_HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, content))
    })
}

/// What lies at the end of a path of nested attributes; the first of each kind.
pub(super) fn at<'a>(bytes: &'a [u8], path: &[u16]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |bytes, wanted| {
        attributes(bytes).find(|(kind, _)| kind == wanted).map(|(_, content)| content)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_aligned_and_nests_know_their_length() {
        let mut request = Request::new(libc::RTM_NEWLINK, 0, &[0; 16]);
        request.text(libc::IFLA_IFNAME, "p1");
        request.nest(libc::IFLA_LINKINFO, |info| info.attribute(9, &[1, 2, 3, 4, 5]));
        let bytes = request.numbered(1);
        assert_eq!(bytes.len() % 4, 0);
        let nest = &bytes[HEADER + 16 + 8..];
        assert_eq!(u16::from_ne_bytes([nest[0], nest[1]]) as usize, nest.len());
        assert_eq!(nest.len(), 4 + 12);
    }

    #[test]
    fn what_was_written_is_read_and_nothing_behind_the_end() {
        let mut request = Request::new(1, 0, &[]);
        request.number(3, 77);
        request.nest(4, |inner| inner.nest(5, |inner| inner.attribute(6, &[8, 9])));
        let bytes = request.numbered(1)[HEADER..].to_vec();
        assert_eq!(at(&bytes, &[3]), Some(&[0, 0, 0, 77][..]));
        assert_eq!(at(&bytes, &[4, 5, 6]), Some(&[8, 9][..]));
        assert_eq!(at(&bytes, &[4, 6]), None);
        for length in 0..bytes.len() {
            // Whatever is there is read to its end, and what is cut off is not.
            assert!(attributes(&bytes[..length]).count() <= 2, "{length} bytes");
        }
        assert_eq!(attributes(&[0, 0, 0, 0, 1]).count(), 0, "shorter than its own head");
    }
}
