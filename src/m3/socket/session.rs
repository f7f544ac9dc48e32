//! One session: a connection that is logged on as one user, in one program, in one proven company.

use super::super::error::Error;
use super::super::pool::Lent;
use super::frame::Frames;
use super::logon::{Dialler, LoggedOn};
use crate::model::{
    Call, Charset, Company, Conventions, DecimalSign, Division, M3User, Place, ProgramName, Record, Slot,
    TransactionLayout, TransactionName,
};
use crate::translate::{EncodeFault, Status, encode, slots, status, technical};
use bytes::Bytes;
use futures_util::FutureExt;
use secrecy::SecretString;
use std::collections::HashMap;
use std::io;
use std::sync::Weak;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(in crate::m3) struct Session {
    frames: Frames,
    charset: Charset,
    conventions: Conventions,
    pub(in crate::m3) user: M3User,
    /// Who M3 says that it is; what was logged on with where it does not say.
    pub(in crate::m3) named: M3User,
    pub(in crate::m3) place: Place,
    pub(in crate::m3) language: String,
    pub(in crate::m3) build: String,
    /// The SetLstMaxRec that this session has now; it sticks.
    max_records: Option<u32>,
    /// Layouts that this very session said are its own.
    confirmed: HashMap<TransactionName, Weak<TransactionLayout>>,
    pub(in crate::m3) answered: Instant,
    pub(in crate::m3) opened: Instant,
    scratch: Vec<u8>,
}

/// How long technical questions may take.
const QUESTION: Duration = Duration::from_secs(10);
/// How long a session that has been idle may take to show that it lives: a new one is opened meanwhile.
const SIGN_OF_LIFE: Duration = Duration::from_secs(3);
const NAMED: &str = "names of this file";

/// M3 broke the protocol in an answer that was no call's.
fn before_the_call(what: &'static str) -> Error {
    Error::Protocol { sent: false, what }
}

/// What ended the connection: `read_frame` alone makes InvalidData, of a frame that is too long.
fn lost(sent: bool, source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::InvalidData {
        return Error::Protocol { sent, what: "a frame longer than M3's longest" };
    }
    Error::Lost { sent, source: source.into() }
}

impl Session {
    /// Logs on, and asks who, where and what M3 says that this session is.
    pub(in crate::m3) async fn open(
        dialler: &Dialler,
        user: &M3User,
        password: &SecretString,
        program: ProgramName,
        place: Option<Place>,
        limit: Duration,
    ) -> Result<Self, Error> {
        let open = async {
            let LoggedOn { frames, charset } = dialler.log_on(user, password, program, place).await?;
            let unproven = Place { company: Company::new(1).expect("1 is a company"), division: Division::BLANK };
            let mut session = Self {
                frames,
                charset,
                conventions: Conventions::default(),
                user: user.clone(),
                named: user.clone(),
                place: unproven,
                language: String::new(),
                build: String::new(),
                max_records: None,
                confirmed: HashMap::new(),
                answered: Instant::now(),
                opened: Instant::now(),
                scratch: Vec::new(),
            };
            session.introduce().await?;
            Ok(session)
        };
        tokio::time::timeout(limit, open).await.unwrap_or(Err(Error::TimedOut { sent: false, waited: limit }))
    }

    async fn introduce(&mut self) -> Result<(), Error> {
        let info = self.technical_record("GetUserInfo").await?;
        let text = |name: &str| info.get(name).map(String::as_str).unwrap_or_default();
        let company = Company::parse(text("ZDCONO")).map_err(|_| before_the_call("GetUserInfo without a company"))?;
        let division =
            Division::parse(text("ZDDIVI")).map_err(|_| before_the_call("GetUserInfo without a division"))?;
        self.place = Place { company, division };
        self.named = M3User::parse(text("ZZUSID")).unwrap_or_else(|_| self.user.clone());
        self.language = text("ZDLANC").to_owned();
        self.conventions.decimal = if text("DSEP") == "," { DecimalSign::Comma } else { DecimalSign::Point };
        let dates = text("ZDDTFM");
        if !dates.is_empty() && !dates.starts_with("YMD") {
            let setting = format!("date format {}", dates.chars().take(10).collect::<String>());
            return Err(Error::ConventionUnsupported { user: self.user.clone(), setting });
        }
        let mut build = self.technical_record("GetMIBuild").await?;
        self.build = build.remove("MBLD").unwrap_or_default();
        Ok(())
    }

    /// A technical transaction's only record, by the layout that this session itself gives.
    async fn technical_record(&mut self, name: &str) -> Result<HashMap<String, String>, Error> {
        let transaction = TransactionName::parse(name).expect(NAMED);
        let slots = self.slots("GetOutLayout", transaction).await?;
        let reply = self.question(name, "", QUESTION).await?;
        match status(&reply, self.charset) {
            Some(Status::Ok { .. }) => {}
            Some(Status::Refused(refusal)) => return Err(Error::Unprepared { question: transaction, refusal }),
            Some(Status::Record) | None => return Err(before_the_call("a technical transaction answered with a list")),
        }
        let unit = self.charset.unit();
        let columns = |slot: &Slot| {
            let from = ((usize::from(slot.from) - 1) * unit).min(reply.len());
            let to = (from + usize::from(slot.length) * unit).min(reply.len());
            self.charset.decode(&reply[from..to]).trim_matches([' ', '\0']).to_owned()
        };
        Ok(slots.iter().map(|slot| (slot.name.to_string(), columns(slot))).collect())
    }

    /// `which` is GetInLayout or GetOutLayout; NOK says that there are no fields.
    pub(in crate::m3) async fn slots(&mut self, which: &str, of: TransactionName) -> Result<Vec<Slot>, Error> {
        let reply = self.question(which, of.as_str(), QUESTION).await?;
        match status(&reply, self.charset) {
            Some(Status::Ok { .. }) => {
                let data = reply.get(15 * self.charset.unit()..).unwrap_or_default();
                slots(&self.charset.decode(data)).ok_or(before_the_call("a layout that can't be read"))
            }
            Some(Status::Refused(_)) => Ok(Vec::new()),
            Some(Status::Record) | None => Err(before_the_call("a layout answered with a list")),
        }
    }

    async fn question(&mut self, name: &str, data: &str, limit: Duration) -> Result<Bytes, Error> {
        let transaction = TransactionName::parse(name).expect(NAMED);
        let mut request = std::mem::take(&mut self.scratch);
        request.clear();
        technical(transaction, self.charset, &mut request);
        let _ = self.charset.encode(data, &mut request);
        let ask = async {
            self.frames.send(&request).await?;
            self.frames.next().await
        };
        // The technical transaction itself is no call of anybody's: M3 has not seen that yet.
        let answer = match tokio::time::timeout(limit, ask).await {
            Ok(answer) => answer.map_err(|source| lost(false, source)),
            Err(_) => Err(Error::TimedOut { sent: false, waited: limit }),
        };
        self.scratch = request;
        if answer.is_ok() {
            self.answered = Instant::now();
        }
        answer
    }

    /// Still open, with nothing on it that nobody asked for.
    pub(in crate::m3) fn is_quiet(&mut self) -> bool {
        self.frames.is_quiet()
    }

    /// Answers a question now.
    pub(in crate::m3) async fn is_alive(&mut self) -> bool {
        let reply = self.question("GetServerTime", "", SIGN_OF_LIFE).await;
        reply.is_ok_and(|reply| status(&reply, self.charset).is_some())
    }

    /// After a transaction that is never answered: an answer to the next question proves that M3 took it.
    pub(in crate::m3) async fn has_taken_it(&mut self, patience: Duration) -> Result<(), Error> {
        let reply = self.question("GetServerTime", "", patience).await.map_err(|error| match error {
            Error::Lost { source, .. } => Error::Lost { sent: true, source },
            Error::TimedOut { waited, .. } => Error::TimedOut { sent: true, waited },
            Error::Protocol { what, .. } => Error::Protocol { sent: true, what },
            other => other,
        })?;
        match status(&reply, self.charset) {
            Some(Status::Ok { data: true }) => Ok(()),
            // Whose answer this is can't be told, so nothing is known of the call.
            Some(Status::Ok { data: false } | Status::Refused(_) | Status::Record) | None => {
                Err(Error::Protocol { sent: true, what: "an answer to what is never answered" })
            }
        }
    }

    /// The layout is this session's own: asked once for each transaction, before anything is encoded with it.
    pub(in crate::m3) fn has_confirmed(&self, layout: &std::sync::Arc<TransactionLayout>) -> bool {
        self.confirmed.get(&layout.name).is_some_and(|known| known.as_ptr() == std::sync::Arc::as_ptr(layout))
    }

    pub(in crate::m3) async fn confirm(&mut self, layout: &std::sync::Arc<TransactionLayout>) -> Result<(), Error> {
        let input = self.slots("GetInLayout", layout.name).await?;
        let output = self.slots("GetOutLayout", layout.name).await?;
        if !layout.input.stands_as(&input) || !layout.output.stands_as(&output) {
            return Err(Error::LayoutChanged { program: layout.program, transaction: layout.name });
        }
        self.confirmed.insert(layout.name, std::sync::Arc::downgrade(layout));
        Ok(())
    }

    /// SetLstMaxRec, when it is not what the session has already.
    pub(in crate::m3) async fn limit(&mut self, most: u32) -> Result<(), Error> {
        if self.max_records == Some(most) {
            return Ok(());
        }
        self.max_records = None;
        let question = "SetLstMaxRec";
        let reply = self.question(question, &format!("{most:<11}"), QUESTION).await?;
        match status(&reply, self.charset) {
            Some(Status::Ok { .. }) => {
                self.max_records = Some(most);
                Ok(())
            }
            Some(Status::Refused(refusal)) => {
                let question = TransactionName::parse(question).expect(NAMED);
                Err(Error::Unprepared { question, refusal })
            }
            Some(Status::Record) | None => Err(before_the_call("SetLstMaxRec answered with a list")),
        }
    }

    pub(in crate::m3) fn encode(&mut self, call: &Call) -> Result<(), Error> {
        encode(call, self.charset, self.conventions, &mut self.scratch).map_err(|fault| match fault {
            EncodeFault::NotCarried { field, character } => Error::NotCarried { field, character },
            EncodeFault::TooLong { field, most } => Error::TooLong { field, most },
        })
    }

    /// Sends what was encoded. From its first byte on M3 may have seen the call.
    pub(in crate::m3) async fn send(&mut self, patience: Duration) -> Result<(), Error> {
        match tokio::time::timeout(patience, self.frames.send(&self.scratch)).await {
            Ok(sent) => sent.map_err(|source| lost(true, source)),
            Err(_) => Err(Error::TimedOut { sent: true, waited: patience }),
        }
    }

    /// The next reply, and what it says.
    pub(in crate::m3) async fn next(&mut self, patience: Duration) -> Result<(Status, Bytes), Error> {
        // One read brings many records of a list; for those that are here no clock is started.
        if let Some(here) = self.ready() {
            return here;
        }
        match tokio::time::timeout(patience, self.frames.next()).await {
            Ok(Ok(frame)) => self.read(frame),
            Ok(Err(source)) => Err(lost(true, source)),
            Err(_) => Err(Error::TimedOut { sent: true, waited: patience }),
        }
    }

    /// A reply that is here already.
    pub(in crate::m3) fn ready(&mut self) -> Option<Result<(Status, Bytes), Error>> {
        match self.frames.ready() {
            Ok(None) => None,
            Ok(Some(frame)) => Some(self.read(frame)),
            Err(source) => Some(Err(lost(true, source))),
        }
    }

    fn read(&mut self, frame: Bytes) -> Result<(Status, Bytes), Error> {
        match status(&frame, self.charset) {
            Some(status) => Ok((status, frame)),
            None => Err(Error::Protocol { sent: true, what: "a reply without a status" }),
        }
    }

    pub(in crate::m3) fn record(&self, payload: Bytes) -> Record {
        Record::new(payload, self.charset, self.conventions)
    }
}

impl Lent for Session {
    /// Tells M3 that the session ends, if that can be said without waiting.
    fn farewell(mut self) {
        let mut close = Vec::new();
        let _ = self.charset.encode("CLOSE", &mut close);
        self.charset.pad(16 - "CLOSE".len(), &mut close);
        let _ = self.frames.send(&close).now_or_never();
    }
}
