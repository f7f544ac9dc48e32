//! Laws of what callers send: calls, forms, headers, frames of HTTP/2.

use mi_gateway::edge::Heads;
use mi_gateway::issuer::{basic_readable, form_readable};
use mi_gateway::model::{
    Call, Charset, ClientId, Company, Conventions, Division, Effect, FieldKind, FieldLayout, FieldName, Layout, M3User,
    Place, TransactionLayout,
};
use mi_gateway::telemetry::TraceContext;
use mi_gateway::translate::{self, Asked};
use std::sync::Arc;
use std::time::Duration;

/// A call that is read names each field once and reads the same in any encoding; what was decided on is what is sent.
///
/// The text is what follows `execute/`.
pub fn execute(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (tail, query) = text.split_once('?').map_or((text, None), |(tail, query)| (tail, Some(query)));
    let Ok(asked) = translate::read(tail, query) else { return };
    for (at, (field, _)) in asked.fields.iter().enumerate() {
        assert!(!asked.fields[..at].iter().any(|(other, _)| other == field), "{field} stands twice");
    }
    let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let fields: Vec<String> =
        asked.fields.iter().map(|(field, value)| format!("{}={}", encoded(field.as_str()), encoded(value))).collect();
    let target = format!("{}/{}", asked.program, asked.transaction);
    // Those of the path and of the query together may be more than a query alone may have.
    if fields.len() <= 1_000 {
        let again = translate::read(&target, Some(&fields.join("&"))).expect("a call, spelled in another way");
        assert_eq!(again.fields, asked.fields);
    }
    sent(&asked);
}

/// The company of the columns is the company that the request was decided on.
fn sent(asked: &Asked) {
    let Ok(wanted) = asked.wanted() else { return };
    let place = Place {
        company: wanted.company.unwrap_or_else(|| Company::new(100).expect("a company")),
        division: wanted.division.unwrap_or(Division::BLANK),
    };
    let field = |name: &str, kind, from, length| FieldLayout {
        name: FieldName::parse(name).expect("a field name"),
        kind,
        from,
        length,
        mandatory: false,
        description: "".into(),
    };
    let input = vec![
        field("CONO", FieldKind::Number, 16, 3),
        field("DIVI", FieldKind::Alphanumeric, 19, 3),
        field("ITNO", FieldKind::Alphanumeric, 22, 15),
    ];
    let layout = TransactionLayout {
        program: asked.program,
        name: asked.transaction,
        description: "".into(),
        multi: false,
        input: Layout::new(input),
        output: Layout::default(),
    };
    let Ok(inputs) = asked.inputs(&layout, place) else { return };
    let item = inputs.iter().find(|input| input.at == 2).map(|input| input.value.as_str().to_owned());
    let call = Call {
        client: ClientId { issuer: "".into(), id: "".into() },
        user: M3User::parse("MIDEMO").expect("a user"),
        place,
        layout: Arc::new(layout),
        effect: Effect::Write,
        inputs,
        max_records: 0,
        patience: Duration::ZERO,
    };
    let mut out = Vec::new();
    if translate::encode(&call, Charset::Ucs2, Conventions::default(), &mut out).is_err() {
        return;
    }
    let columns = |from: usize, to: usize| {
        let bytes = &out[(2 * from).min(out.len())..(2 * to).min(out.len())];
        Charset::Ucs2.decode(bytes).into_owned()
    };
    assert_eq!(columns(0, 15).trim_end(), asked.transaction.as_str());
    assert_eq!(Company::parse(&columns(15, 18)), Ok(place.company));
    assert_eq!(Division::parse(&columns(18, 21)), Ok(place.division));
    assert_eq!(columns(21, 36).trim_end_matches(' '), item.unwrap_or_default().trim_end_matches(' '));
    assert!(out.len() <= 72, "{} bytes for 36 columns", out.len());
}

/// A form is within its caps, and none that says everything twice is read.
pub fn form(bytes: &[u8]) {
    if !form_readable(bytes) {
        return;
    }
    assert!(bytes.len() <= 32 * 1024);
    let has_any = bytes.split(|byte| *byte == b'&').any(|pair| !pair.is_empty());
    assert_eq!(form_readable(&[bytes, b"&", bytes].concat()), !has_any, "what stands twice");
}

/// What is read is a short header of the scheme Basic, whatever its blanks and letters.
pub fn basic(bytes: &[u8]) {
    let Ok(header) = std::str::from_utf8(bytes) else { return };
    if !basic_readable(header) {
        return;
    }
    let scheme = header.trim_start().get(..6).expect("a scheme");
    assert!(header.len() <= 2 * 1024 && scheme.eq_ignore_ascii_case("basic "), "{header:?}");
    let spaced = format!(" {header}\t");
    assert!(basic_readable(&spaced) || spaced.len() > 2 * 1024);
}

/// A place in a trace that is read is written as version 00, and is then read the same.
pub fn traceparent(bytes: &[u8]) {
    let Ok(context) = TraceContext::parse(bytes) else { return };
    let written = context.to_string();
    assert_eq!(TraceContext::parse(written.as_bytes()), Ok(context));
    assert_eq!(&written.as_bytes()[2..53], &bytes[2..53], "other ids than were sent");
}

/// How the bytes are cut changes nothing.
///
/// The first byte is the length of the pieces; the rest follows a preface.
pub fn heads(bytes: &[u8]) {
    let [cut, stream @ ..] = bytes else { return };
    let (mut whole, mut pieces) = (Heads::begin(), Heads::begin());
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert!(!whole.feed(preface) && !pieces.feed(preface));
    let mut open = false;
    for piece in stream.chunks(usize::from(*cut).max(1)) {
        open = pieces.feed(piece);
    }
    assert_eq!(whole.feed(stream), open);
}
