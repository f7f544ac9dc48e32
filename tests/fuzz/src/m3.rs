//! Laws of what M3 sends: frames, replies, lists of columns.

use bytes::BytesMut;
use mi_gateway::m3::read_frame;
use mi_gateway::model::{Charset, Conventions, DecimalSign, FieldKind, FieldLayout, FieldName, Record};
use mi_gateway::translate::{self, Status};

/// Frames and what is left of the stream are the stream, however it arrives; no frame is longer than the longest.
///
/// The first byte is the longest frame, the second how many bytes arrive at once.
pub fn frames(bytes: &[u8]) {
    let [most, cut, stream @ ..] = bytes else { return };
    let most = usize::from(*most);
    let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
    for piece in stream.chunks(usize::from(*cut).max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match read_frame(&mut buffer, most) {
                Ok(Some(frame)) => {
                    assert!(frame.len() <= most);
                    found.extend_from_slice(&(frame.len() as u32).to_be_bytes());
                    found.extend_from_slice(&frame);
                }
                Ok(None) => break,
                Err(_) => {
                    let length = buffer.first_chunk().map(|head| u32::from_be_bytes(*head) as usize);
                    assert!(length.is_some_and(|length| length > most), "{length:?} was refused");
                    assert!(stream.starts_with(&found));
                    return;
                }
            }
        }
    }
    found.extend_from_slice(&buffer);
    assert_eq!(found, stream);
}

/// The status stands in its own fifteen columns, and a field never reads further than its own.
///
/// The first byte picks the encoding, the second and third a field's place and length.
pub fn replies(bytes: &[u8]) {
    let [which, from, length, payload @ ..] = bytes else { return };
    let name = Charset::NAMES[usize::from(*which) % Charset::NAMES.len()];
    let charset = Charset::named(name).expect("a name of its own list");
    let head = &payload[..payload.len().min(15 * charset.unit())];
    let (whole, alone) = (translate::status(payload, charset), translate::status(head, charset));
    match (&whole, &alone) {
        (Some(Status::Ok { data }), Some(Status::Ok { data: false })) => {
            assert_eq!(*data, payload[head.len()..].iter().any(|byte| !matches!(byte, 0 | b' ')));
        }
        (Some(Status::Record), Some(Status::Record)) | (None, None) => {}
        (Some(Status::Refused(refusal)), Some(Status::Refused(_))) => {
            assert!(refusal.id.chars().count() <= 7, "{refusal:?}");
            assert_eq!(refusal.to_string(), refusal.message.trim());
        }
        _ => panic!("{whole:?}, and by its first columns {alone:?}"),
    }
    let mut field = FieldLayout {
        name: FieldName::parse("ITNO").expect("a field name"),
        kind: FieldKind::Alphanumeric,
        from: u16::from(*from),
        length: u16::from(*length),
        mandatory: false,
        description: "".into(),
    };
    let conventions = Conventions { decimal: DecimalSign::Comma };
    let record = Record::new(payload.to_vec().into(), charset, conventions);
    let text = record.text(&field).into_owned();
    assert!(text.encode_utf16().count() <= usize::from(field.length), "{text:?} is longer than its field");
    assert_eq!(record.value(&field), text);
    for kind in [FieldKind::Number, FieldKind::Date] {
        field.kind = kind;
        assert!(record.value(&field).encode_utf16().count() <= usize::from(field.length) + 1);
    }
}

/// Columns that are read lie apart, behind the status, and are read the same once written out.
pub fn slots(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(slots) = translate::slots(text) else { return };
    let mut filled = 15_u32;
    for slot in &slots {
        assert!(slot.length > 0 && u32::from(slot.from) > filled, "{slot:?} overlaps");
        filled = u32::from(slot.from) + u32::from(slot.length) - 1;
    }
    let written: String = slots.iter().map(|slot| format!(";{},{},{}", slot.name, slot.from, slot.length)).collect();
    assert_eq!(translate::slots(&written), Some(slots));
}
