//! What one caller meets at M3, whichever way he came: who he is, where he works, what he may, and what is noted of him.

use super::engine::{Answer, Context, Nok, Row};
use super::faults::{Action, Refusal};
use super::logon::Admitted;
use super::metadata::Transaction;
use super::seen::SeenCall;
use super::server::Shared;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::Arc;
use std::sync::atomic::Ordering;

#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub(super) shared: Arc<Shared>,
    pub(super) who: Admitted,
}

/// Technical transactions that the mock answers itself.
pub(super) const TECHNICAL: &[&str] = &[
    "GetInLayout",
    "GetOutLayout",
    "SetLstMaxRec",
    "GetMIBuild",
    "GetServerTime",
    "ServerTimeZone",
    "GetFixLevel",
    "GetCurrentUser",
    "GetUserInfo",
    "GetMessageText",
    "GetFieldHeading",
    "FpwVersion",
    "LOOPBACK",
    "LOOPB",
    "ZipTransOn",
    "ZipTransOff",
    "setblob",
    "getblob",
];

/// yyyyMMdd of the calendar, or one of M3's two words for no date.
fn is_date(given: &str) -> bool {
    let digits = given.len() == 8 && given.bytes().all(|byte| byte.is_ascii_digit());
    let number = |from: usize, to: usize| given.get(from..to).and_then(|part| part.parse::<i16>().ok()).unwrap_or(-1);
    let day = || jiff::civil::Date::new(number(0, 4), number(4, 6) as i8, number(6, 8) as i8).is_ok();
    ["0", "99999999"].contains(&given) || (digits && day())
}

/// An answer that was given in advance, and what befalls it.
pub(super) fn played(action: Option<Action>, transaction: &Transaction) -> (Option<Answer>, Option<Action>) {
    let Some(Action::Answer { mut records, nok }) = action else { return (None, action) };
    let after = u32::try_from(records.len()).unwrap_or(u32::MAX);
    let action = match nok {
        Some(Refusal { id, field, text }) if records.is_empty() => {
            return (Some(Answer::Nok(Nok { id, field, text })), None);
        }
        Some(Refusal { id, field, text }) => {
            // Behind the last of them, where the list is not at its end yet.
            records.extend(records.last().cloned());
            Some(Action::NokAfter { records: after, id, field, text })
        }
        None => None,
    };
    let answer = match (transaction.multi, records.pop()) {
        (true, last) => {
            records.extend(last);
            Answer::List(Box::new(records.into_iter()))
        }
        (false, Some(record)) => Answer::Record(record),
        (false, None) => Answer::Done,
    };
    (Some(answer), action)
}

impl Desk {
    /// What M3 looks at before any program does: authority, then the shape of the values.
    pub(super) fn refusal(&self, transaction: &Transaction, input: &Row) -> Option<Nok> {
        let nok = |text: &str, id: &str, field: &str| Nok {
            text: text.to_owned(),
            id: id.to_owned(),
            field: field.to_owned(),
        };
        let user = &self.who.user;
        if user.denied || user.denied_programs.contains(&self.who.program) {
            let text = format!("User {} is not authorised for program {}", user.name, self.who.program);
            return Some(nok(&text, "XAU0008", ""));
        }
        let company = input.get("CONO").and_then(|given| given.parse::<u16>().ok());
        if let Some(company) = company.filter(|company| !user.may_work_in(*company)) {
            let text = format!("User {} is not authorised for company {company}", user.name);
            return Some(nok(&text, "XAU0008", "CONO"));
        }
        transaction.input.iter().find_map(|field| {
            let given = input.get(&field.name)?;
            let (good, kind) = match field.kind {
                'N' => (given.parse::<f64>().is_ok_and(f64::is_finite), "number"),
                'D' => (is_date(given), "date"),
                _ => (true, ""),
            };
            (!good && given != "?")
                .then(|| nok(&format!("{} is not a valid {kind}", field.name), "XMI0005", &field.name))
        })
    }

    pub(super) fn note(&self, name: &str, fields: Row, technical: bool) {
        self.shared.note(SeenCall {
            user: self.who.user.name.clone(),
            company: self.who.company,
            division: self.who.division.clone(),
            language: self.who.user.language.clone(),
            program: self.who.program.clone(),
            transaction: name.to_owned(),
            fields,
            technical,
        });
    }

    pub(super) fn context(&self) -> Context {
        let now = TimeZone::UTC.to_datetime(Timestamp::now());
        Context {
            user: self.who.user.name.clone(),
            company: self.who.company,
            division: self.who.division.clone(),
            today: now.strftime("%Y%m%d").to_string(),
            time: now.strftime("%H%M%S").to_string(),
        }
    }

    /// The answer of a technical transaction that every program has; `asked` is what stood behind its name.
    pub(super) fn general(&self, name: &str, asked: &str, transaction: &Transaction) -> Row {
        let now = TimeZone::UTC.to_datetime(Timestamp::now());
        let user = &self.who.user;
        let (date, time) = (now.strftime("%Y%m%d").to_string(), now.strftime("%H%M%S").to_string());
        let build = self.shared.build.load(Ordering::Relaxed).to_string();
        let millis = Timestamp::now().as_millisecond().to_string();
        let company = self.who.company.to_string();
        let stamped = now.strftime("%Y-%m-%d %H:%M:%S +0000").to_string();
        let known: &[(&str, &str)] = &[
            ("ZZUSID", &user.name),
            ("ZDCONO", &company),
            ("ZDDIVI", &self.who.division),
            ("ZDFACI", "A01"),
            ("ZZWHLO", "001"),
            ("ZDLANC", &user.language),
            ("ZDDTFM", &user.date_form),
            ("DSEP", if user.decimal_comma { "," } else { "." }),
            ("TIZO", "UTC"),
            ("TMTZ", &stamped),
            ("UTCT", &stamped),
            ("USFN", &user.name),
            ("USER", &user.name),
            ("PRUS", &user.name),
            ("TEID", "DEMO_TST"),
            ("VER", "2.0.0"),
            ("DATE", &date),
            ("TIME", &time),
            ("LMTS", &millis),
            ("VERS", "20"),
            ("MBLD", &build),
            ("SYID", "MOCK"),
            ("PGNM", &self.who.program),
            ("SLVL", "0"),
            ("TSEP", ":"),
        ];
        let mut row = Row::new();
        for (at, field) in transaction.output.iter().enumerate() {
            let value = match known.iter().find(|(name, _)| *name == field.name) {
                Some((_, value)) => (*value).to_owned(),
                None if field.kind == 'D' => date.clone(),
                None if at == 0 && field.kind == 'A' => format!("{name} {asked}"),
                None => String::new(),
            };
            row.insert(field.name.clone(), value);
        }
        row
    }
}
