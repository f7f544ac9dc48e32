//! Text and attribute values of XML 1.0. What it can't hold is replaced and counted: no field poisons a document. Of what
//! is read there are five entities and no more.

use quick_xml::events::Event;
use std::borrow::Cow;

/// What an event adds to the text of its element; nothing for one that is no text.
pub(super) fn text<'e>(event: &'e Event<'_>) -> Option<Result<Cow<'e, str>, String>> {
    let of_entity = |name: &str| match name {
        "amp" => Ok("&"),
        "lt" => Ok("<"),
        "gt" => Ok(">"),
        "quot" => Ok("\""),
        "apos" => Ok("'"),
        other => Err(format!("the entity &{other}; is not one of XML's five")),
    };
    match event {
        Event::Text(text) => Some(Ok(text.xml10_content())),
        Event::CData(data) => Some(Ok(data.xml10_content())),
        Event::GeneralRef(reference) => Some(match reference.resolve_char_ref() {
            Ok(Some(c)) => Ok(Cow::Owned(c.to_string())),
            Ok(None) => of_entity(reference.xml10_content().as_ref()).map(Cow::Borrowed),
            Err(error) => Err(format!("has a reference to no character: {error}")),
        }),
        _ => None,
    }
}

/// Appends `text`; gives how many characters had to be replaced.
pub(super) fn escape(text: &str, out: &mut String) -> usize {
    let plain = |b: u8| (0x20..0x7f).contains(&b) && !matches!(b, b'&' | b'<' | b'>' | b'"');
    if text.bytes().all(plain) {
        out.push_str(text);
        return 0;
    }
    let mut replaced = 0;
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {
                replaced += 1;
                out.push('\u{fffd}');
            }
            other => out.push(other),
        }
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn what_xml_forbids_is_replaced_and_counted() {
        let mut out = String::new();
        assert_eq!(escape("a<b>&\"\u{1}ü\u{ffff}\n", &mut out), 2);
        assert_eq!(out, "a&lt;b&gt;&amp;&quot;\u{fffd}ü\u{fffd}&#10;");
    }
}
