//! Columns: a typed call to the fixed-width text of a request, and the parts of a reply.
//!
//! Columns count from 1 in units of the session; the transaction's name stands in 1 to 15, data begins at 16.
//! Invariant: a value that does not fit its columns, or whose characters the session can't carry, is refused; nothing
//! is cut and nothing is replaced on the way to M3.

use crate::model::{Call, Charset, Conventions, FieldName, MAX_FIELD_UNITS, Refusal, Slot, TransactionName, Uncarried};

/// Units before the first field, in requests and replies alike.
const STATUS: usize = 15;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeFault {
    #[error("field {field} has the character {character:?}, which M3's character set does not hold")]
    NotCarried { field: FieldName, character: char },
    #[error("field {field} takes more than its {most} columns")]
    TooLong { field: FieldName, most: u16 },
}

/// The whole request; blanks behind the last used field are cut off, as clients do.
pub fn encode(call: &Call, charset: Charset, conventions: Conventions, out: &mut Vec<u8>) -> Result<(), EncodeFault> {
    out.clear();
    technical(call.layout.name, charset, out);
    let unit = charset.unit();
    for input in &call.inputs {
        let field = &call.layout.input.fields()[usize::from(input.at)];
        let start = usize::from(field.from).saturating_sub(1);
        let filled = out.len() / unit;
        if start < filled {
            // Columns that overlap: no layout that M3 gives does so.
            return Err(EncodeFault::TooLong { field: field.name, most: 0 });
        }
        charset.pad(start - filled, out);
        let text = input.value.for_session(conventions);
        let units = charset
            .encode(&text, out)
            .map_err(|Uncarried(character)| EncodeFault::NotCarried { field: field.name, character })?;
        if units > usize::from(field.length) {
            return Err(EncodeFault::TooLong { field: field.name, most: field.length });
        }
    }
    Ok(())
}

/// A transaction's name in its fifteen columns.
pub fn technical(name: TransactionName, charset: Charset, out: &mut Vec<u8>) {
    let before = out.len() / charset.unit();
    // Names are ASCII, which every charset carries.
    let _ = charset.encode(name.as_str(), out);
    let written = out.len() / charset.unit() - before;
    charset.pad(STATUS.saturating_sub(written), out);
}

/// What the first columns of a reply say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Success: the only record of a Get, or the end of a list. `data` is whether anything stands behind the status.
    Ok {
        data: bool,
    },
    /// One record of a list; more follow.
    Record,
    Refused(Refusal),
}

/// `None`: no status that M3 has; the stream can't be trusted any longer.
pub fn status(payload: &[u8], charset: Charset) -> Option<Status> {
    let unit = charset.unit();
    let head = charset.decode(&payload[..payload.len().min(STATUS * unit)]);
    // Clients read the first word alone; what stands behind it in these columns has no meaning.
    match head.split([' ', '\0']).next()? {
        "OK" => Some(Status::Ok { data: has_data(payload.get(STATUS * unit..).unwrap_or_default()) }),
        "REP" => Some(Status::Record),
        "NOK" => Some(Status::Refused(refusal(payload, charset))),
        _ => None,
    }
}

/// Blanks and zero bytes are no data, in whatever charset.
fn has_data(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| !matches!(byte, 0 | b' '))
}

/// Text up to column 256, message id in 257 to 263, field from 265; short replies have the text alone.
fn refusal(payload: &[u8], charset: Charset) -> Refusal {
    let columns = |from: usize, to: usize| -> String {
        let unit = charset.unit();
        let (from, to) = ((from - 1) * unit, (to * unit).min(payload.len()));
        let bytes = if from < to { &payload[from..to] } else { &[][..] };
        // Blanks and zero bytes, in whatever order, are padding.
        charset.decode(bytes).trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned()
    };
    Refusal { message: columns(4, 256), id: columns(257, 263), field: FieldName::parse(&columns(265, 274)).ok() }
}

/// The answer of GetInLayout and GetOutLayout: `;NAME,pos,len;NAME,pos,len…`, the first `;` there or not.
pub fn slots(text: &str) -> Option<Vec<Slot>> {
    let mut slots = Vec::new();
    for part in text.trim_matches([' ', '\0']).split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let mut words = part.split(',').map(str::trim);
        let name = FieldName::parse(words.next()?).ok()?;
        let from: u16 = words.next()?.parse().ok()?;
        let length: u16 = words.next()?.parse().ok()?;
        if words.next().is_some() || from <= STATUS as u16 || length == 0 || usize::from(length) > MAX_FIELD_UNITS {
            return None;
        }
        slots.push(Slot { name, from, length });
    }
    slots.sort_by_key(|slot| slot.from);
    let apart =
        slots.windows(2).all(|pair| u32::from(pair[0].from) + u32::from(pair[0].length) <= u32::from(pair[1].from));
    apart.then_some(slots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nok(text: &str, id: &str, field: &str) -> Vec<u8> {
        format!("{:<15}{text:<241}{id:<7} {field:<10}", "NOK").into_bytes()
    }

    #[test]
    fn a_refusal_has_text_id_and_field() {
        let Some(Status::Refused(refusal)) =
            status(&nok("Customer does not exist", "WCU0203", "CUNO"), Charset::Latin1)
        else {
            panic!("a NOK is a refusal");
        };
        assert_eq!((refusal.message.as_str(), refusal.id.as_str()), ("Customer does not exist", "WCU0203"));
        assert_eq!(refusal.field.map(|f| f.to_string()).as_deref(), Some("CUNO"));
        let short = status(b"NOK            gone", Charset::Latin1);
        assert_eq!(short, Some(Status::Refused(Refusal { message: "gone".into(), id: String::new(), field: None })));
    }

    #[test]
    fn what_is_no_status_is_none() {
        assert_eq!(status(b"HTTP/1.1 400", Charset::Latin1), None);
        assert_eq!(status(b"", Charset::Ucs2), None);
        assert_eq!(status(b"OK", Charset::Latin1), Some(Status::Ok { data: false }));
        assert_eq!(status(b"REP            x", Charset::Latin1), Some(Status::Record));
    }

    #[test]
    fn a_layout_list_is_read_with_and_without_its_first_semicolon() {
        let with = slots(";CONO,16,3;CUNO,19,10").expect("a list");
        assert_eq!(slots("CONO,16,3;CUNO,19,10").as_ref(), Some(&with));
        assert_eq!(with.len(), 2);
        for bad in
            ["CONO,16", "CONO,1,3", "CONO,16,0", "CONO,16,3;CUNO,17,1", "cono,16,3", "CONO,16,3,4", "CONO,16,65535"]
        {
            assert_eq!(slots(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in "\\PC{0,80}") {
            for charset in [Charset::Ucs2, Charset::Latin1] {
                let _ = status(&bytes, charset);
            }
            let _ = slots(&text);
        }
    }
}
