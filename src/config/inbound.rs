//! The keys of `[inbound]`: who may say something of documents that were sent, and whether all who must can.

use super::issuers::scope;
use super::keys::{flag, needed, number, set};
use super::points::logical_id;
use super::publish::documents;
use super::reader::Reader;
use super::settings::Foreign;
use crate::bod::ConfirmationCode;
use crate::gateway::{InboundRole, InboundSender, InboundSettings};
use crate::{outbox, points, relay};

pub(super) fn inbound(
    reader: &mut Reader,
    issuers: &[Foreign],
    points: &[points::Settings],
    publish: &relay::Settings,
    outbox: &outbox::Settings,
) -> InboundSettings {
    let mut inbound = InboundSettings {
        tenant: publish.tenant.clone(),
        logical_id: publish.logical_id.clone(),
        shadowed: if publish.enabled { shadowed(publish) } else { Vec::new() },
        ..InboundSettings::default()
    };
    set(&mut inbound.scope, reader.one("inbound.scope", "a scope", scope));
    set(&mut inbound.body, number(reader, "inbound.body_limit", 1_024..=1_073_741_824));
    set(&mut inbound.unpacked, number(reader, "inbound.unpacked_limit", 1_024..=1_073_741_824));
    for at in reader.below("inbound.senders") {
        let key = |name: &str| format!("inbound.senders.{at}.{name}");
        let sender = sender(reader, &key, issuers, points, &inbound.shadowed);
        inbound.senders.extend(sender);
    }
    for point in points {
        answers(reader, point, &inbound, publish, outbox);
    }
    inbound
}

fn sender(
    reader: &mut Reader,
    key: &dyn Fn(&str) -> String,
    issuers: &[Foreign],
    points: &[points::Settings],
    shadowed: &[String],
) -> Option<InboundSender> {
    let client = needed(reader, &key("client"), "the id of the client that answers");
    let issuer = reader.one(&key("issuer"), "the issuer of the client's tokens", |text| Some(text.to_owned()));
    if let Some(issuer) = issuer.as_ref().filter(|issuer| !issuers.iter().any(|known| known.issuer == **issuer)) {
        let place = reader.place(&key("issuer"));
        let hint = "name it exactly as its [[issuers]] does; leave it out for clients of the embedded issuer";
        reader.faults.add(place, key("issuer"), format!("{issuer} is none of issuers"), hint);
    }
    let right = "logical ids, like lid://infor.wms.north, or lid://infor.wms.* for all that begin so";
    if !reader.has(&key("logical_ids")) {
        reader.faults.add("settings", key("logical_ids"), "is missing", format!("give {right}"));
    }
    let logical_ids = reader.many(&key("logical_ids"), right, pattern).unwrap_or_default();
    let role = role(reader, key, points, shadowed);
    Some(InboundSender { client: client?, issuer, logical_ids, role: role? })
}

/// It answers for a point, or is M3's own publisher: what is of neither has nothing to send.
fn role(
    reader: &mut Reader,
    key: &dyn Fn(&str) -> String,
    points: &[points::Settings],
    shadowed: &[String],
) -> Option<InboundRole> {
    if flag(reader, &key("m3_publisher")).unwrap_or(false) {
        let place = reader.place(&key("m3_publisher"));
        if reader.has(&key("point")) {
            let place = reader.place(&key("point"));
            let hint = "take it out: M3's own publisher is sent nothing, and answers for nothing";
            reader.faults.add(place, key("point"), "is given to M3's own publisher", hint);
        } else if shadowed.is_empty() {
            let hint = "give a row of [[publish.documents]] mode = \"shadow\", with publish.enabled = true";
            reader.faults.add(place, key("m3_publisher"), "has nothing to be compared with", hint);
        }
        let _ = reader.one(&key("point"), "a point", |text| Some(text.to_owned()));
        return Some(InboundRole::M3sPublisher);
    }
    let point = needed(reader, &key("point"), "the point whose documents it answers, or m3_publisher = true");
    if let Some(point) = point.as_ref().filter(|point| !points.iter().any(|known| known.name == **point)) {
        let place = reader.place(&key("point"));
        reader.faults.add(place, key("point"), format!("{point} is none of points"), "name one of [[points]]");
    }
    point.map(InboundRole::AnswersFor)
}

/// Documents that are made in shadow in some company or division.
fn shadowed(publish: &relay::Settings) -> Vec<String> {
    documents(&publish.mappings).into_iter().filter(|name| publish.is_shadowed(name)).collect()
}

fn pattern(text: &str) -> Option<String> {
    logical_id(text.strip_suffix('*').unwrap_or(text)).map(|_| text.to_owned())
}

/// Who must always answer must be able to, and within what is kept.
fn answers(
    reader: &mut Reader,
    point: &points::Settings,
    inbound: &InboundSettings,
    publish: &relay::Settings,
    outbox: &outbox::Settings,
) {
    let always = Some(ConfirmationCode::Always);
    let by_documents =
        Some(publish.confirmation) == always || publish.rules.iter().any(|rule| rule.confirmation == always);
    let must = match point.answers.code {
        None => by_documents,
        own => own == always,
    };
    let name = &point.name;
    if must && publish.enabled && !inbound.senders.iter().any(|sender| sender.point() == Some(name)) {
        let hint = format!(
            "name who answers for it in [[inbound.senders]] with point = {name:?}, or give the point confirmation = \"OnError\""
        );
        let what = format!("must always answer, and nobody may answer for {name}");
        reader.faults.add("settings", "points", what, hint);
    }
    if must && point.answers.within > outbox.retention {
        let hint = "give a shorter answer_seconds, or keep documents for longer by outbox.retention_hours";
        reader.faults.add("settings", format!("answer_seconds of {name}"), "is longer than documents are kept", hint);
    }
}
