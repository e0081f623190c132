//! What the switch sees, as a file that Wireshark, tshark and tcpdump read.
//!
//! Invariant: every frame between two hosts of the cluster, or one of them and the clients, stands in the file once for each time
//! that it was delivered, at that time, and once if it was lost, with a comment that says why; so the file tells what a network
//! without faults would have done from what this one did. What the harness itself asks nodes is left out, as it is nobody's
//! traffic. Each direction of each link is an interface of its own, "n1 -> n2".
//! A run that is cut off leaves a file that ends within a block, which those programs read up to there.
//!
//! Frames are as large as the sender's kernel hands them out, up to 64 KiB of a TCP stream, and their checksums may be those that
//! it left to a network card: tell the program not to check them.
//! Deliberately lacks filters and a limit on the bytes of a frame: the reading programs have them.
//! Reference: draft-ietf-opsawg-pcapng, "PCAP Next Generation Capture File Format".

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Instant, SystemTime};

use crate::hosts::{CONTROL, port_of};
use crate::system::NodeId;

use super::port::VNET_HEADER;

/// More than this is not written, in bytes; the last packet says so.
const BYTES_MAX: u64 = 1 << 30;
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const LINKTYPE_ETHERNET: u16 = 1;
const NO_LIMIT: u32 = 0;
const OPTION_COMMENT: u16 = 1;
const OPTION_IF_NAME: u16 = 2;
const OPTION_IF_TIME_RESOLUTION: u16 = 9;
const NANOSECONDS: u8 = 9;
const OPTION_USER_APPLICATION: u16 = 4;

/// What happened to a frame, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// It was delivered at once, as it was.
    None,
    /// It was lost, by a cut or a bad line.
    Lost,
    /// It was lost because its link was cut while it was on its way.
    LostOnTheWay,
    /// It was lost, and both ends were told that there is no connection.
    Reset,
    /// The switch made it up: a reset.
    MadeUp,
    /// It was delivered later than it was sent.
    Late,
    /// A bit of it may have been changed.
    Corrupt,
}

impl Note {
    fn comment(self) -> &'static str {
        match self {
            Note::None => "",
            Note::Lost => "lost: the link drops it",
            Note::LostOnTheWay => "lost: the link was cut while it was on its way",
            Note::Reset => "lost: an old connection, answered with a reset to both ends",
            Note::MadeUp => "made up by the switch: the reset of an old connection",
            Note::Late => "late: the link held it back",
            Note::Corrupt => "the link changes bits of some frames, and of this one",
        }
    }
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Capture<W: Write = BufWriter<File>> {
    out: W,
    ports: usize,
    /// The same moment by both clocks.
    origin: (SystemTime, Instant),
    written: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Writing,
    /// It is full, or could not be written.
    Over,
}

impl Capture {
    /// A new file for a switch with so many ports, the clients' first.
    pub(super) fn create(path: &Path, ports: usize) -> io::Result<Self> {
        Self::new(BufWriter::new(File::create(path)?), ports)
    }
}

impl<W: Write> Capture<W> {
    fn new(out: W, ports: usize) -> io::Result<Self> {
        let origin = (SystemTime::now(), Instant::now());
        let mut capture = Self { out, ports, origin, written: 0, state: State::Writing };
        let mut header = Vec::new();
        header.extend(BYTE_ORDER.to_ne_bytes());
        header.extend(1u16.to_ne_bytes());
        header.extend(0u16.to_ne_bytes());
        // The length of the section is not known yet.
        header.extend(u64::MAX.to_ne_bytes());
        option(&mut header, OPTION_USER_APPLICATION, b"raftcheck");
        end_of_options(&mut header);
        capture.block(SECTION_HEADER, &header)?;
        for (from, to) in (0..ports).flat_map(|from| (0..ports).map(move |to| (from, to))) {
            let mut interface = Vec::new();
            interface.extend(LINKTYPE_ETHERNET.to_ne_bytes());
            interface.extend(0u16.to_ne_bytes());
            interface.extend(NO_LIMIT.to_ne_bytes());
            option(&mut interface, OPTION_IF_NAME, format!("{} -> {}", name(from), name(to)).as_bytes());
            option(&mut interface, OPTION_IF_TIME_RESOLUTION, &[NANOSECONDS]);
            end_of_options(&mut interface);
            capture.block(INTERFACE, &interface)?;
        }
        Ok(capture)
    }

    /// Writes a frame down, as a port gave it.
    pub(super) fn record(&mut self, frame: &[u8], note: Note) {
        if self.state == State::Over {
            return;
        }
        let Some(ethernet) = frame.get(VNET_HEADER..) else { return };
        let Some((from, to)) = ends(ethernet).filter(|(from, to)| *from < self.ports && *to < self.ports)
        else {
            return;
        };
        let full = self.written + ethernet.len() as u64 > BYTES_MAX;
        let end = format!("the capture ends here: it has {} MiB", BYTES_MAX >> 20);
        let comment = if full { end.as_str() } else { note.comment() };
        if let Err(error) = self.packet(from * self.ports + to, ethernet, comment) {
            tracing::warn!("the capture of packets ends: {error}");
            self.state = State::Over;
        }
        if full {
            self.state = State::Over;
        }
    }

    /// Hands everything to the operating system.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn packet(&mut self, interface: usize, ethernet: &[u8], comment: &str) -> io::Result<()> {
        let at = self.origin.0 + self.origin.1.elapsed();
        let at = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let length = ethernet.len() as u32;
        let mut packet = Vec::with_capacity(ethernet.len() + 128);
        packet.extend((interface as u32).to_ne_bytes());
        packet.extend(((at >> 32) as u32).to_ne_bytes());
        packet.extend((at as u32).to_ne_bytes());
        packet.extend(length.to_ne_bytes());
        packet.extend(length.to_ne_bytes());
        packet.extend(ethernet);
        pad(&mut packet);
        if !comment.is_empty() {
            option(&mut packet, OPTION_COMMENT, comment.as_bytes());
            end_of_options(&mut packet);
        }
        self.block(ENHANCED_PACKET, &packet)
    }

    /// A block begins and ends with its length, both included.
    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let length = (body.len() + 12) as u32;
        self.written += u64::from(length);
        self.out.write_all(&kind.to_ne_bytes())?;
        self.out.write_all(&length.to_ne_bytes())?;
        self.out.write_all(body)?;
        self.out.write_all(&length.to_ne_bytes())
    }
}

/// The ports that a frame goes from and to, unless the harness itself watches a node with it.
fn ends(ethernet: &[u8]) -> Option<(usize, usize)> {
    let (source, destination) = (ethernet.get(26..30)?, ethernet.get(30..34)?);
    if [source, destination].contains(&CONTROL.octets().as_slice()) {
        return None;
    }
    Some((port_of(&ethernet[6..12])?, port_of(&ethernet[0..6])?))
}

fn name(port: usize) -> String {
    match u16::try_from(port) {
        Ok(number @ 1..) => NodeId(number).to_string(),
        _ => "clients".to_owned(),
    }
}

fn option(block: &mut Vec<u8>, code: u16, value: &[u8]) {
    block.extend(code.to_ne_bytes());
    block.extend((value.len() as u16).to_ne_bytes());
    block.extend(value);
    pad(block);
}

fn end_of_options(block: &mut Vec<u8>) {
    block.extend([0; 4]);
}

/// Everything begins at a multiple of four bytes.
fn pad(block: &mut Vec<u8>) {
    block.resize(block.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame from n1 to n2 with its vnet header.
    fn frame(source: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; VNET_HEADER];
        frame.extend([0x02, 0x77, 0, 0, 0, 2, 0x02, 0x77, 0, 0, 0, 1, 8, 0]);
        frame.extend([0; 12]);
        frame.extend(source);
        frame.extend([10, 77, 0, 2]);
        frame.extend(payload);
        frame
    }

    fn number(bytes: &[u8]) -> u32 {
        u32::from_ne_bytes(bytes[..4].try_into().unwrap())
    }

    /// The blocks of a file: kind and body. Checks both lengths of each.
    fn blocks(mut file: &[u8]) -> Vec<(u32, &[u8])> {
        let mut blocks = Vec::new();
        while !file.is_empty() {
            let length = number(&file[4..]) as usize;
            assert!(length.is_multiple_of(4) && number(&file[length - 4..]) as usize == length);
            blocks.push((number(file), &file[8..length - 4]));
            file = &file[length..];
        }
        blocks
    }

    #[test]
    fn a_file_has_its_header_the_links_and_the_packets() {
        let mut file = Vec::new();
        let mut capture = Capture::new(&mut file, 3).unwrap();
        capture.record(&frame([10, 77, 0, 1], b"abc"), Note::None);
        capture.record(&frame([10, 77, 0, 1], b""), Note::Lost);
        capture.record(&frame(CONTROL.octets(), b"what the harness asks"), Note::None);
        capture.record(&[0; 20], Note::None);
        let blocks = blocks(&file);
        let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [&[SECTION_HEADER][..], &[INTERFACE; 9], &[ENHANCED_PACKET; 2]].concat());
        assert_eq!(number(blocks[0].1), BYTE_ORDER);
        let has = |body: &[u8], text: &str| body.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(has(blocks[1 + 5].1, "n1 -> n2") && has(blocks[1 + 1].1, "clients -> n1"));
        let (first, second) = (blocks[10].1, blocks[11].1);
        assert_eq!((number(first), number(&first[12..]), number(&first[16..])), (5, 37, 37));
        assert_eq!(&first[20..57], &frame([10, 77, 0, 1], b"abc")[VNET_HEADER..]);
        assert!(has(second, "lost: the link drops it") && !has(first, "lost"));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
        let at = (u64::from(number(&first[4..])) << 32) | u64::from(number(&first[8..]));
        assert!(at <= now && now - at < 600_000_000_000, "{at} {now}");
    }

    #[test]
    fn a_full_disk_ends_the_capture_and_nothing_else() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut capture = Capture::new(Full(1000), 3).unwrap();
        for _ in 0..9 {
            capture.record(&frame([10, 77, 0, 1], &[7; 100]), Note::Late);
        }
        assert_eq!(capture.state, State::Over);
    }
}
