//! A call as m3api-rest is asked for it: everything by name, every value percent-encoded.

use super::super::settings::RestVersion;
use crate::model::{Call, Conventions, M3User, Place};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt;
use std::fmt::Write as _;

/// Everything but RFC 3986's unreserved characters.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl fmt::Display for RestVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        })
    }
}

/// What follows the base. Blank fields are not sent by M3 (`excludeempty`): a list is a third as long without them.
pub(super) fn call(version: RestVersion, call: &Call, names: Option<&M3User>) -> String {
    let most = call.max_records.to_string();
    let mut options = vec![("maxrecs", most.as_str())];
    options.extend(call.language.as_ref().map(|language| ("lanc", language.as_str())));
    let fields = call.layout.input.fields();
    let values: Vec<_> = call
        .inputs
        .iter()
        .map(|input| (fields[usize::from(input.at)].name, input.value.for_session(Conventions::default())))
        .collect();
    let pairs = values.iter().map(|(name, value)| (name.as_str(), value.as_ref()));
    let what = (call.layout.program.as_str(), call.layout.name.as_str());
    path(version, what, Some(call.place), names, &options, pairs)
}

/// Who the account is to M3, in this place or at home.
pub(super) fn who(version: RestVersion, place: Option<Place>, names: Option<&M3User>) -> String {
    path(version, ("GENERAL", "GetUserInfo"), place, names, &[], std::iter::empty())
}

fn path<'a>(
    version: RestVersion,
    (program, transaction): (&str, &str),
    place: Option<Place>,
    names: Option<&M3User>,
    own: &[(&str, &str)],
    fields: impl Iterator<Item = (&'a str, &'a str)>,
) -> String {
    let place = place.map(|place| (place.company.to_string(), place.division.to_string()));
    let mut options: Vec<(&str, &str)> = Vec::new();
    if let Some((company, division)) = &place {
        // A blank division is said: left out, it would be the user's own.
        options.extend([("cono", company.as_str()), ("divi", division.as_str())]);
    }
    options.extend_from_slice(own);
    options.extend(names.map(|user| ("m3user", user.as_str())));
    let mut out = String::with_capacity(256);
    let mut separator = '?';
    let write = |out: &mut String, separator: char, name: &str, value: &str| {
        let _ = write!(out, "{separator}{name}={}", utf8_percent_encode(value, VALUE));
    };
    match version {
        RestVersion::V1 => {
            let _ = write!(out, "/m3api-rest/execute/{program}/{transaction}");
            // Infor's own spelling.
            options.push(("excludempty", "true"));
            options.iter().for_each(|(name, value)| write(&mut out, ';', name, value));
        }
        RestVersion::V2 => {
            let _ = write!(out, "/m3api-rest/v2/execute/{program}/{transaction}");
            options.extend([
                ("excludeempty", "true"),
                ("righttrim", "true"),
                ("dateformat", "YMD8"),
                ("format", "UNFORMATTED"),
            ]);
            for (name, value) in options {
                write(&mut out, separator, name, value);
                separator = '&';
            }
        }
    }
    for (name, value) in fields {
        write(&mut out, separator, name, value);
        separator = '&';
    }
    out
}
