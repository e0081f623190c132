//! Untrusted text on its way into a page.

/// The text as content or as an attribute in double quotes.
pub(super) fn html(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Neither HTML nor a reader knows what to do with the others.
            c if c.is_control() && c != '\n' && c != '\t' => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// JSON inside a script element: nothing in it can end the element or open a comment.
pub(super) fn script(json: &str) -> String {
    let mut safe = String::with_capacity(json.len() + 8);
    for c in json.chars() {
        match c {
            // These stand only in strings of JSON, where an escape means the same.
            '<' => safe.push_str("\\u003c"),
            '>' => safe.push_str("\\u003e"),
            '&' => safe.push_str("\\u0026"),
            '\u{2028}' => safe.push_str("\\u2028"),
            '\u{2029}' => safe.push_str("\\u2029"),
            c => safe.push(c),
        }
    }
    safe
}

/// What the text takes in the data of the script, in bytes and at most.
pub(super) fn cost(text: &str) -> usize {
    let escaped = |byte: u8| byte < 0x20 || matches!(byte, b'<' | b'>' | b'&' | b'"' | b'\\');
    text.len() + 5 * text.bytes().filter(|&byte| escaped(byte)).count()
}

/// At most so many characters of a text.
pub(super) fn clip(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
