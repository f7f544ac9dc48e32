//! One session of the mock: requests in order, technical transactions answered here, the rest by the engine.

use super::columns::{Habits, cut, nok, put, status};
use super::desk::{Desk, TECHNICAL, played};
use super::engine::{Answer, Row};
use super::faults::{Action, Fault};
use super::logon::Admitted;
use super::metadata::{Field, Metadata, Transaction};
use super::server::Shared;
use super::wire::{Connection, Wide};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How sessions are ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kill {
    /// Nothing is read or said any more, and the connection stays open.
    Silent,
    Fin,
    Reset,
}

#[derive(Debug)]
pub(super) struct Session {
    desk: Desk,
    connection: Connection,
    wide: Wide,
    habits: Habits,
    /// SetLstMaxRec, which sticks; 0 is without end.
    max_records: u32,
}

/// Written records wait for this much before they are sent.
const BATCH: usize = 32 * 1024;

/// What a reply does to the session.
enum Then {
    GoOn,
    End,
}

pub(super) async fn wait(latency: Option<u64>) {
    if let Some(ms) = latency.filter(|ms| *ms > 0) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, connection: Connection, who: Admitted, wide: Wide) -> Self {
        let profile = shared.profile;
        let habits = Habits {
            comma: who.user.decimal_comma,
            right: profile.numbers_right,
            trailing_minus: profile.trailing_minus,
        };
        Self { desk: Desk { shared, who }, connection, wide, habits, max_records: 100 }
    }

    pub(super) async fn run(mut self, mut killed: watch::Receiver<Option<Kill>>) -> io::Result<()> {
        let life = self.desk.shared.profile.session_life;
        let told = tokio::select! {
            ended = self.serve() => return ended,
            told = killed.wait_for(Option::is_some) => told.ok().and_then(|kill| *kill),
            () = tokio::time::sleep(life.unwrap_or_default()), if life.is_some() => Some(Kill::Silent),
        };
        match told {
            Some(Kill::Silent) => return self.connection.ignore().await,
            Some(Kill::Reset) => self.connection.reset(),
            Some(Kill::Fin) | None => {}
        }
        Ok(())
    }

    async fn serve(&mut self) -> io::Result<()> {
        loop {
            let payload = self.connection.next().await?;
            let units = self.wide.read(&payload);
            match self.answer(&units).await? {
                Then::GoOn => {}
                Then::End => return Ok(()),
            }
        }
    }

    async fn answer(&mut self, units: &[u16]) -> io::Result<Then> {
        let name = cut(units, 1, 15);
        if name == "CLOSE" {
            return Ok(Then::End);
        }
        let technical = TECHNICAL.contains(&name.as_str());
        let metadata = self.desk.shared.metadata();
        let found = metadata.transaction(&self.desk.who.program, &name).filter(|_| !technical);
        let input = match found {
            Some(transaction) => self.input(transaction, units),
            None if technical => Row::from([("DATA".to_owned(), cut(units, 16, 60))]),
            None => Row::new(),
        };
        // Noted when it arrives: a test that waits for M3 to have a call needs no answer for it.
        self.desk.note(&name, input.clone(), technical);
        let fault = self.desk.shared.fault(&self.desk.who.program, &name, technical);
        wait(fault.as_ref().and_then(|fault| fault.latency_ms)).await;
        wait(Some(self.desk.shared.latency())).await;
        let action = fault.and_then(|fault: Fault| fault.action);
        if action == Some(Action::DropBefore) {
            return Ok(Then::End);
        }
        let Some(transaction) = found else {
            let reply = if technical {
                self.technical(&name, units, &metadata)
            } else {
                nok(&format!("Transaction {name} not found in program {}", self.desk.who.program), "MI00001", "")
            };
            return self.say(&reply, action).await;
        };
        if let Some(refusal) = self.desk.refusal(transaction, &input) {
            return self.say(&nok(&refusal.text, &refusal.id, &refusal.field), action).await;
        }
        if let Some(Action::Nok { id, field, text }) = &action {
            let reply = nok(text, id, field);
            return self.say(&reply, None).await;
        }
        let (played, action) = played(action, transaction);
        let run = || self.desk.shared.engine.run(&self.desk.context(), transaction, &input);
        let answer = played.unwrap_or_else(run);
        if name.starts_with("Snd") {
            // Never answered, whatever became of it.
            return Ok(Then::GoOn);
        }
        match answer {
            Answer::Nok(refusal) => self.say(&nok(&refusal.text, &refusal.id, &refusal.field), action).await,
            Answer::Done => self.say(&status("OK"), action).await,
            Answer::Record(row) => {
                let reply = self.record("OK", &row, &transaction.output);
                self.say(&reply, action).await
            }
            Answer::List(rows) => self.list(rows, &transaction.output, action).await,
        }
    }

    fn input(&self, transaction: &Transaction, units: &[u16]) -> Row {
        let mut row = Row::new();
        for field in &transaction.input {
            let given = cut(units, field.from, field.length);
            if !given.is_empty() {
                row.insert(field.name.clone(), self.habits.read(field, &given));
            }
        }
        row
    }

    fn record(&self, word: &str, row: &Row, fields: &[Field]) -> Vec<u16> {
        let mut units = status(word);
        for field in fields {
            let value = row.get(&field.name).map_or("", String::as_str);
            put(&self.habits.write(field, value), field.from, field.length, self.habits.right(field), &mut units);
        }
        if self.desk.shared.profile.cut_replies {
            let end = units.iter().rposition(|unit| *unit != u16::from(b' ')).map_or(0, |at| at + 1);
            units.truncate(end.max(15));
        }
        units
    }

    /// One frame, unless a fault says otherwise.
    async fn say(&mut self, reply: &[u16], action: Option<Action>) -> io::Result<Then> {
        let mut out = Vec::new();
        self.wide.frame(reply, &mut out);
        match action {
            None | Some(Action::Nok { .. } | Action::Answer { .. } | Action::DropBefore) => {
                self.connection.send(&out).await.map(|()| Then::GoOn)
            }
            Some(Action::DropAfter | Action::NokAfter { records: 0, .. }) => Ok(Then::End),
            Some(Action::HalfAnswer) => {
                self.connection.send(&out[..out.len() / 2]).await?;
                Ok(Then::End)
            }
            Some(Action::Garbage) => {
                self.connection.send(&[0, 0, 0, 6, b'<', b'h', b't', b'm', b'l', b'>']).await?;
                Ok(Then::GoOn)
            }
            Some(Action::NoAnswer | Action::SilentAfter { .. }) => self.connection.ignore().await.map(|()| Then::End),
            Some(Action::NokAfter { id, field, text, .. }) => {
                let mut out = Vec::new();
                self.wide.frame(&nok(&text, &id, &field), &mut out);
                self.connection.send(&out).await.map(|()| Then::GoOn)
            }
        }
    }

    /// REP for each record, OK at the end; cut silently where SetLstMaxRec says. Sent as the peer reads.
    async fn list(
        &mut self,
        rows: Box<dyn Iterator<Item = Row> + Send>,
        fields: &[Field],
        action: Option<Action>,
    ) -> io::Result<Then> {
        let heeded = self.max_records > 0 && self.desk.shared.profile.heeds_most;
        let most = if heeded { self.max_records as usize } else { usize::MAX };
        let most = most.min(self.desk.shared.profile.ceiling.map_or(usize::MAX, |ceiling| ceiling as usize));
        let stops_at = match &action {
            Some(Action::NokAfter { records, .. } | Action::SilentAfter { records }) => *records as usize,
            Some(Action::HalfAnswer) => 1,
            _ => usize::MAX,
        };
        let mut out = Vec::with_capacity(BATCH + 8 * 1024);
        for (at, row) in rows.take(most).enumerate() {
            if at == stops_at {
                break;
            }
            self.wide.frame(&self.record("REP", &row, fields), &mut out);
            if out.len() >= BATCH {
                self.connection.send(&out).await?;
                out.clear();
            }
        }
        self.connection.send(&out).await?;
        let action = match action {
            Some(Action::NokAfter { id, field, text, .. }) => Some(Action::NokAfter { records: 1, id, field, text }),
            other => other,
        };
        self.say(&status("OK"), action).await
    }

    fn technical(&mut self, name: &str, units: &[u16], metadata: &Metadata) -> Vec<u16> {
        let ok = |text: &str| {
            let mut reply = status("OK");
            put(text, 16, text.encode_utf16().count(), false, &mut reply);
            reply
        };
        match name {
            "GetInLayout" | "GetOutLayout" => {
                let of = cut(units, 16, 15);
                let found = metadata.transaction(&self.desk.who.program, &of);
                let fields = found.map(|found| if name == "GetInLayout" { &found.input } else { &found.output });
                match fields.filter(|fields| !fields.is_empty()) {
                    Some(fields) => {
                        let list: String =
                            fields.iter().map(|f| format!(";{},{},{}", f.name, f.from, f.length)).collect();
                        ok(&list)
                    }
                    None => nok(&format!("No fields for transaction {of}"), "MI00002", ""),
                }
            }
            "SetLstMaxRec" => match cut(units, 16, 11).parse() {
                Ok(most) => {
                    self.max_records = most;
                    status("OK")
                }
                Err(_) => nok("The number of records is not a number", "MI00003", "MRCD"),
            },
            "LOOPBACK" | "LOOPB" => ok(&cut(units, 16, units.len().saturating_sub(15))),
            "ZipTransOn" | "ZipTransOff" | "setblob" | "getblob" => {
                nok(&format!("{name} is not supported"), "MI00004", "")
            }
            _ => match metadata.transaction("GENERAL", name) {
                Some(transaction) => {
                    let row = self.desk.general(name, &cut(units, 16, 15), transaction);
                    self.record("OK", &row, &transaction.output)
                }
                None => nok(&format!("{name} is not supported"), "MI00004", ""),
            },
        }
    }
}
