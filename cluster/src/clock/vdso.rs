//! Where the vDSO keeps its clock functions, read from the image that this process itself has.
//!
//! The kernel maps the same image into every 64-bit process, so that only the address differs; [`Vdso::is_at_home`]
//! compares before anything is changed. Reference: vdso(7), the ELF specification.

use super::code;

/// The longest image that is compared.
const HEAD_BYTES: usize = 512;

/// What has to be known of the image. Offsets are from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vdso {
    /// What the image begins with.
    pub(super) head: Vec<u8>,
    /// What has to be subtracted from an address to get a symbol's value, beside where the image is: the address that the
    /// image is linked to.
    pub(super) linked_at: u64,
    /// The function `clock_gettime`.
    pub(super) clock_gettime: u64,
    /// A `syscall` instruction.
    pub(super) syscall: u64,
    /// The values of the symbols to change, and the entries of the code that replaces them.
    pub(super) symbols: Vec<(u64, usize)>,
}

impl Vdso {
    /// That of this process.
    pub(super) fn own() -> Result<Self, String> {
        // SAFETY: reads the auxiliary vector.
        let start = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) } as usize;
        if start == 0 {
            return Err("this kernel gives programs no vDSO (was it started with vdso=0?)".to_owned());
        }
        // SAFETY: the kernel has mapped the image there; its first page is always readable and says how long it is.
        let image = unsafe {
            let first = std::slice::from_raw_parts(start as *const u8, 4096);
            let bytes = load(first).map_or(4096, |(_, _, bytes)| bytes as usize);
            std::slice::from_raw_parts(start as *const u8, bytes.max(4096))
        };
        parse(image).ok_or_else(|| "the vDSO of this kernel is not as expected".to_owned())
    }

    /// Whether the image that begins with these bytes is the same one.
    pub(super) fn is_at_home(&self, head: &[u8]) -> bool {
        self.head == head
    }
}

fn parse(image: &[u8]) -> Option<Vdso> {
    let (linked_at, _, _) = load(image)?;
    let [mut names, mut symbols] = [None, None];
    let (dynamic, _, dynamic_bytes) = segment(image, libc::PT_DYNAMIC)?;
    let dynamic = (dynamic - linked_at) as usize;
    for at in (dynamic..dynamic + dynamic_bytes as usize).step_by(16) {
        let value = u64_at(image, at + 8)?.checked_sub(linked_at);
        match u64_at(image, at)? {
            0 => break,
            5 => names = value,
            6 => symbols = value,
            _ => {}
        }
    }
    let (names, symbols) = (names? as usize, symbols? as usize);
    // The names follow the symbols in every vDSO; the hash tables, which would tell the number, come and go.
    let (mut found, mut clock_gettime) = (Vec::new(), None);
    for symbol in (symbols..names).step_by(24) {
        let start = names + u32_at(image, symbol)? as usize;
        let name = image.get(start..)?.split(|byte| *byte == 0).next()?;
        let Some(entry) = code::entry(name) else { continue };
        if name.ends_with(b"clock_gettime") {
            clock_gettime = Some(u64_at(image, symbol + 8)? - linked_at);
        }
        found.push((symbol as u64 + 8, entry));
    }
    let syscall = image.windows(2).position(|bytes| bytes == [0x0f, 0x05])? as u64;
    let head = image.get(..HEAD_BYTES)?.to_vec();
    Some(Vdso { head, linked_at, clock_gettime: clock_gettime?, syscall, symbols: found })
}

/// The first loaded segment: where it is linked to, its offset in the file, its size.
fn load(image: &[u8]) -> Option<(u64, u64, u64)> {
    let (address, offset, bytes) = segment(image, libc::PT_LOAD)?;
    (image.get(..5)? == b"\x7fELF\x02" && offset == 0).then_some((address, offset, bytes))
}

fn segment(image: &[u8], kind: u32) -> Option<(u64, u64, u64)> {
    let table = u64_at(image, 32)? as usize;
    let count = usize::from(*image.get(56)?);
    let at = (0..count).map(|index| table + 56 * index).find(|at| u32_at(image, *at) == Some(kind))?;
    Some((u64_at(image, at + 16)?, u64_at(image, at + 8)?, u64_at(image, at + 40)?))
}

fn u64_at(image: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(image.get(at..at + 8)?.try_into().ok()?))
}

fn u32_at(image: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_image_has_all_three_functions() {
        let vdso = Vdso::own().unwrap();
        let mut entries: Vec<usize> = vdso.symbols.iter().map(|(_, entry)| *entry).collect();
        entries.sort_unstable();
        entries.dedup();
        assert_eq!(entries.len(), 3, "{vdso:?}");
        assert!(vdso.is_at_home(&vdso.head));
    }

    #[test]
    fn a_foreign_image_is_refused() {
        assert_eq!(parse(&[0; 4096]), None);
        assert_eq!(parse(b"\x7fELF\x01"), None);
    }
}
