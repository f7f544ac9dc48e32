//! The laws of what comes over a wire: M3's frames and replies, callers' requests and tokens, operators' files.

use mi_gateway::auth::{Assertion, ClientKeys, KeySet, Metadata, proof_well_formed, says_active, well_formed};
use mi_gateway::bod::{Confirmation, Inbound, Mapping, Secrets, Source, compare, confirm, shipped, validate};
use mi_gateway::config;
use mi_gateway::edge::{Announced, Heads, ProxyStep, proxy_step};
use mi_gateway::gateway::read_parts;
use mi_gateway::issuer::{basic_readable, form_readable};
use mi_gateway::limit::Plan;
use mi_gateway::m3::{Found, RestReader, read_frame};
use mi_gateway::mock_m3::Faults;
use mi_gateway::model::{Charset, Conventions, FieldKind, FieldLayout, FieldName, Record};
use mi_gateway::policies::{Trust, open_bundle, pack};
use mi_gateway::policy::{self, FACTS, Set, Site};
use mi_gateway::telemetry::TraceContext;
use mi_gateway::translate::{
    BULK_LIMITS, BULK_PATH, Bulk, Next, Part, SplitFault, SplitLimits, Splitter, Status, read, slots, status,
};
use std::collections::VecDeque;
use std::sync::LazyLock;

/// Frames are the same bytes again, none is longer than allowed, and how they arrive makes no difference.
pub fn frames(bytes: &[u8]) {
    const MOST: usize = 1_024;
    let (whole, pieces) = (cut(bytes, bytes.len().max(1), MOST), cut(bytes, 3, MOST));
    assert_eq!(whole, pieces);
    let mut again = Vec::new();
    for frame in &whole {
        assert!(frame.len() <= MOST);
        again.extend_from_slice(&u32::try_from(frame.len()).expect("short").to_be_bytes());
        again.extend_from_slice(frame);
    }
    assert!(bytes.starts_with(&again));
}

fn cut(bytes: &[u8], piece: usize, most: usize) -> Vec<Vec<u8>> {
    let (mut buffer, mut found) = (bytes::BytesMut::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match read_frame(&mut buffer, most) {
                Ok(Some(frame)) => found.push(frame.to_vec()),
                Ok(None) => break,
                Err(_) => return found,
            }
        }
    }
    found
}

/// A reply is read or is none; its text has no padding left, and any column of it can be asked for.
pub fn replies(bytes: &[u8]) {
    for name in Charset::NAMES {
        let charset = Charset::named(name).expect("a name of its own list");
        if let Some(Status::Refused(refusal)) = status(bytes, charset) {
            assert_eq!(refusal.message, refusal.message.trim_matches([' ', '\0']));
        }
        let record = Record::new(bytes::Bytes::copy_from_slice(bytes), charset, Conventions::default());
        for kind in [FieldKind::Alphanumeric, FieldKind::Number, FieldKind::Date] {
            let name = FieldName::parse("CUNO").expect("a field name");
            let (from, length) = (16, u16::from(bytes.first().copied().unwrap_or(0)));
            let field = FieldLayout { name, kind, from, length, mandatory: false, description: "".into() };
            let text = record.text(&field);
            assert!(text.chars().count() <= usize::from(length), "nothing is read beyond the field");
            assert!(!text.ends_with([' ', '\0']));
            let _ = record.value(&field);
        }
    }
}

/// A list of fields that is accepted is the same when it is written again, and its columns never overlap.
pub fn layouts(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(found) = slots(text) else { return };
    let written: String = found.iter().map(|slot| format!(";{},{},{}", slot.name, slot.from, slot.length)).collect();
    assert_eq!(slots(&written), Some(found.clone()));
    let ends =
        found.windows(2).all(|pair| u32::from(pair[0].from) + u32::from(pair[0].length) <= u32::from(pair[1].from));
    assert!(ends && found.iter().all(|slot| slot.from > 15 && slot.length > 0));
}

/// What was read from a URL is read again from its plainest spelling: what is decided on is what was meant.
///
/// The path ends at the first line break; the rest is the query.
pub fn requests(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (tail, query) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(asked) = read(tail, Some(query)) else { return };
    let plain: Vec<String> = asked
        .fields
        .iter()
        .map(|(name, value)| format!("{name}={}", value.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>()))
        .collect();
    let target = format!("{}/{}", asked.program, asked.transaction);
    let again = read(&target, Some(&plain.join("&"))).expect("the plainest spelling");
    assert_eq!((again.program, again.transaction, again.fields), (asked.program, asked.transaction, asked.fields));
}

/// A token is malformed or is not; nothing in it makes that question hard.
pub fn tokens(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = well_formed(text);
        let _ = basic_readable(text);
    }
}

/// A proof has the form of one or it hasn't; the same text never is a proof and an access token.
pub fn proofs(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && proof_well_formed(text)
    {
        assert!(text.len() <= 4_096 && !well_formed(text));
    }
}

/// What a client signs of itself, and the keys that it registers: an assertion names its client or is refused, it never
/// proves anything by keys that did not sign it, and keys that are taken read as the same keys again, none of them private.
pub fn assertions(bytes: &[u8]) {
    // Of nobody who signs anything here.
    const KEYS: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    static STRANGER: LazyLock<ClientKeys> = LazyLock::new(|| ClientKeys::parse(KEYS.as_bytes()).expect("a public key"));
    if let Ok(keys) = ClientKeys::parse(bytes) {
        assert!(!keys.document().contains("\"d\":"));
        assert_eq!(ClientKeys::parse(keys.document().as_bytes()), Ok(keys));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(assertion) = Assertion::parse(text) {
        assert!((1..=256).contains(&assertion.client().len()));
        assert!(assertion.proves(&STRANGER, &["https://localhost".to_owned()], 1_700_000_000).is_err());
    }
}

/// A key set is read or refused as a whole, and never has more keys than its document has objects.
pub fn keysets(bytes: &[u8]) {
    if let Ok(keys) = KeySet::parse(bytes) {
        assert!(keys.len() <= bytes.iter().filter(|byte| **byte == b'{').count());
    }
}

/// What an issuer says of itself is its own, and what it says of a token means the same to every reader.
pub fn issuers(bytes: &[u8]) {
    let read = serde_json::from_slice::<serde_json::Value>(bytes);
    if let Ok(metadata) = Metadata::parse(bytes, "https://a") {
        let read = read.as_ref().expect("JSON");
        assert_eq!((read["issuer"].as_str(), read["jwks_uri"].as_str()), (Some("https://a"), Some(metadata.keys())));
    }
    if says_active(bytes) {
        let read = read.expect("JSON");
        assert_eq!(read["active"], true);
        // Written again it has lost nothing: no member stood twice.
        assert!(says_active(read.to_string().as_bytes()));
    }
}

/// The body of a token request.
pub fn forms(bytes: &[u8]) {
    let _ = form_readable(bytes);
}

/// A trace context that is accepted is written as it was read.
pub fn traceparent(bytes: &[u8]) {
    if let Ok(context) = TraceContext::parse(bytes) {
        assert_eq!(TraceContext::parse(context.to_string().as_bytes()), Ok(context));
    }
}

/// Operators' files are settings, limits or faults, or are refused; a fault always says where and what to do.
pub fn settings(bytes: &[u8]) {
    let _ = serde_json::from_slice::<Faults>(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(faults) = config::parse(Some(("gateway.toml", text)), std::iter::empty()) {
        assert!(!faults.is_empty() && faults.iter().all(|fault| !fault.place.is_empty() && !fault.hint.is_empty()));
    }
    let _ = Plan::parse("limits.toml", text, "https://localhost");
    facts(text);
}

/// What a set says of records is taken whole, or each fault of it stands in its file with a way to mend it.
fn facts(text: &str) {
    let source = policy::Source { name: FACTS.into(), text: text.to_owned() };
    if let Err(faults) = Set::load(&[source], &Site::of("https://localhost"), &|_, _| None) {
        assert!(!faults.is_empty() && faults.iter().all(|fault| fault.spot.file == FACTS && fault.hint.is_some()));
    }
}

/// A bundle that opens is the same set when it is packed again, and nobody has signed what trusted keys have not.
pub fn bundles(bytes: &[u8]) {
    let Ok(files) = open_bundle(bytes.to_vec(), &Trust::default()) else { return };
    let again = pack(&files).and_then(|bytes| open_bundle(bytes, &Trust::default())).expect("what opened is a set");
    assert!(again.all().eq(files.all()));
    assert!(files.sealed.is_some_and(|sealed| sealed.signers.is_empty()));
}

/// A document of a stranger's is checked whole, and each flaw stands in a line that it has.
pub fn bods(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lines = u32::try_from(text.matches('\n').count() + 1).unwrap_or(u32::MAX);
    let flaws = validate("document", text);
    assert!(flaws.iter().all(|flaw| flaw.spot.line <= lines && !flaw.message.is_empty()));
}

/// What a stranger sends can be answered in a document that is one itself, and that names his as he did.
pub fn inbound(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (seen, why) = match Inbound::read(text) {
        Ok(inbound) => (inbound, "It is not taken here.".to_owned()),
        Err(unusable) => (*unusable.seen.clone(), unusable.to_string()),
    };
    let said = confirm(&Confirmation {
        tenant: "DEMO_TST",
        logical_id: "lid://mi-gateway.m3",
        component: "mi-gateway",
        created: "2026-03-01T12:00:01Z",
        bod_id: "1",
        original: &seen.area,
        failure: Some(("document-not-taken", &why)),
    });
    assert_eq!(validate("the answer", &said), [], "{said}");
    let answer = Inbound::read(&said).expect("our own words").answers.remove(0);
    // An id has 255 characters at most; a longer one may be cut.
    let (again, id) = (answer.original.bod_id, seen.area.bod_id);
    assert!(again.is_empty() || id.len() > 255 || again.chars().count() == id.chars().count(), "{again:?} for {id:?}");
}

/// Two documents, a zero byte between them. One says the same as itself; the other differs from it in as many places as it from
/// the other, and no more of them are shown than may be.
pub fn comparisons(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (one, other) = text.split_once('\0').unwrap_or((text, text));
    let secrets = Secrets::default();
    for document in [one, other] {
        if let Ok(found) = compare(document, document, &secrets) {
            assert!(found.is_same() && found.first.is_empty(), "{found:?}");
        }
    }
    let (there, back) = (compare(one, other, &secrets), compare(other, one, &secrets));
    assert_eq!(there.is_ok(), back.is_ok());
    let (Ok(there), Ok(back)) = (there, back) else { return };
    assert_eq!(there.many, back.many, "{there:?} {back:?}");
    assert_eq!(there.first.len(), there.many.min(20));
    let shown = |text: &String| text.chars().count() <= 201;
    assert!(there.first.iter().all(|one| shown(&one.path) && one.ours.iter().chain(&one.theirs).all(shown)));
}

/// The first line's length is how the bytes arrive; the rest is a body in two parts. However it arrives it is the same
/// message or the same refusal, what it holds stands in it as it is, and nothing is longer than it may be.
pub fn parts(bytes: &[u8]) {
    const MOST: usize = 4_096;
    let (first, body) = bytes.split_at(bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1));
    let read = |piece: usize| {
        let pieces = body.chunks(piece.max(1)).map(bytes::Bytes::copy_from_slice).collect();
        read_parts("multipart/form-data; boundary=frontier", pieces, MOST)
    };
    let (whole, torn) = (read(body.len()), read(first.len()));
    for read in [&whole, &torn] {
        match read {
            Ok((name, payload)) => {
                assert!(payload.len() <= MOST && name.len() <= MOST, "it is longer than it may be");
                assert!(payload.is_empty() || body.windows(payload.len()).any(|part| part == payload), "not what came");
            }
            Err(why) => assert!(!why.is_empty()),
        }
    }
    // What stands behind the last part counts where it came with it.
    if body.len() <= MOST {
        // And what is wrong with it may be seen earlier or later.
        assert_eq!(whole.ok(), torn.ok());
    }
}

/// A mapping file is understood or has faults, alone and over the shipped ones.
pub fn mappings(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let source = Source { name: "site.toml".to_owned(), text: text.to_owned() };
    // Read once: they are always the same.
    static SHIPPED: LazyLock<Vec<Mapping>> = LazyLock::new(|| shipped().unwrap_or_default());
    for read in [Mapping::parse(&source), Mapping::parse_over(&source, &SHIPPED)] {
        if let Err(faults) = read {
            assert!(
                !faults.is_empty() && faults.iter().all(|fault| !fault.message.is_empty() && !fault.hint.is_empty())
            );
        }
    }
}

/// The reader of HTTP/2 frame heads comes to the same end however the bytes arrive.
pub fn heads(bytes: &[u8]) {
    let mut whole = Heads::begin();
    whole.feed(bytes);
    let mut pieces = Heads::begin();
    for byte in bytes {
        pieces.feed(std::slice::from_ref(byte));
    }
    assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
}

/// A PROXY header is asked for to its last byte and no further, is never long, and is a whole one by its own account.
pub fn proxies(bytes: &[u8]) {
    const MOST: usize = 4_096;
    let mut got = 0;
    loop {
        match proxy_step(&bytes[..got]) {
            Ok(ProxyStep::More(wanted)) => {
                assert!(wanted > 0 && got + wanted <= MOST, "{got} and {wanted} more");
                got += wanted;
                if got > bytes.len() {
                    return;
                }
            }
            Ok(ProxyStep::Done(announced)) => {
                let whole = ppp::HeaderResult::parse(&bytes[..got]);
                assert!(matches!(whole, ppp::HeaderResult::V1(Ok(_)) | ppp::HeaderResult::V2(Ok(_))));
                assert!(!matches!(announced, Announced::Client(client) if client.ip().is_ipv4() && got < 28));
                return;
            }
            Err(_) => return,
        }
    }
}

/// A document splits into the same parts however it is cut; what splits into JSON values is JSON, and what is JSON splits.
pub fn documents(bytes: &[u8]) {
    const PATHS: [&[&str]; 3] = [&["transactions"], &["results", "[]", "records"], &["MIRecord"]];
    for path in PATHS {
        let whole = split(path, bytes, bytes.len().max(1));
        assert_eq!(whole, split(path, bytes, 3));
        let json = serde_json::from_slice::<serde_json::Value>(bytes);
        match whole {
            Ok(parts) => {
                let good = parts.iter().all(|part| match part {
                    Part::Value { raw, .. } => serde_json::from_slice::<serde_json::Value>(raw).is_ok(),
                    Part::Open { .. } | Part::Close { .. } => true,
                });
                assert_eq!(good, json.is_ok());
            }
            Err(SplitFault::TooDeep { .. } | SplitFault::TooLong { .. }) => {}
            Err(fault) => {
                let container = json.is_ok_and(|json| json.is_object() || json.is_array());
                assert!(!container, "{fault}");
            }
        }
    }
}

fn split(path: &'static [&'static str], bytes: &[u8], piece: usize) -> Result<VecDeque<Part>, SplitFault> {
    let mut splitter = Splitter::new(path, SplitLimits { depth: 16, value: 256 });
    let mut parts = VecDeque::new();
    for piece in bytes.chunks(piece) {
        splitter.feed(piece, &mut parts)?;
    }
    splitter.finish().map(|()| parts)
}

/// A bulk body gives the same transactions and the same fault however it is cut, and nothing behind a fault.
pub fn bulk(bytes: &[u8]) {
    assert_eq!(given(bytes, bytes.len().max(1)), given(bytes, 1));
}

fn given(bytes: &[u8], piece: usize) -> Vec<Next> {
    let mut body = Bulk::new("", None).expect("no options, no fault");
    let (mut splitter, mut parts) = (Splitter::new(BULK_PATH, BULK_LIMITS), VecDeque::new());
    let mut given = Vec::new();
    let mut give = |body: &mut Bulk| {
        while !matches!(given.last(), Some(Next::Broken(_) | Next::End)) {
            match body.next_item() {
                Next::More => return,
                next => given.push(next),
            }
        }
        assert_ne!(body.next_item(), Next::More, "an end is an end");
    };
    for piece in bytes.chunks(piece) {
        let split = splitter.feed(piece, &mut parts);
        for part in parts.drain(..) {
            body.take(part);
            give(&mut body);
        }
        if let Err(fault) = split {
            body.break_off(fault);
            break;
        }
    }
    if let Err(fault) = splitter.finish() {
        body.break_off(fault);
    }
    give(&mut body);
    given
}

/// What m3api-rest answers is found the same however it arrives, ends at most once, and is no larger than what came.
///
/// The first byte picks the version.
pub fn answers(bytes: &[u8]) {
    let [version, rest @ ..] = bytes else { return };
    let v2 = version % 2 == 1;
    let (whole, pieces) = (found(v2, rest, rest.len().max(1)), found(v2, rest, 1));
    assert_eq!(whole, pieces);
    let ends = whole.iter().filter(|found| !matches!(found, Found::Record(_))).count();
    assert!(ends <= 1, "an answer ends once");
    let text = |found: &Found| match found {
        Found::Record(values) => values.iter().map(|(name, value)| name.len() + value.len()).sum(),
        Found::Refused(refusal) => refusal.message.len() + refusal.id.len(),
        Found::Terminated(why) => why.len(),
        Found::End => 0,
    };
    let told: usize = whole.iter().map(text).sum();
    // An escape of six bytes is at most three; what is no text of UTF-8 is none at all. Where M3 gives no reason there is
    // a sentence of our own.
    const SENTENCE: usize = 64;
    assert!(told <= rest.len() * 3 + SENTENCE);
}

fn found(v2: bool, bytes: &[u8], piece: usize) -> Vec<Found> {
    let mut reader = RestReader::new(v2, 4_096);
    let mut found = Vec::new();
    for piece in bytes.chunks(piece) {
        let fed = reader.feed(piece);
        found.extend(std::iter::from_fn(|| reader.found()));
        if fed.is_err() {
            break;
        }
    }
    found
}
