//! An M3 for tests, written from the protocol's facts: it takes frames apart and puts them together by itself and shares
//! no line with the client's encoder. Everything that arrives is remembered, connection by connection.

use crate::m3::{Client, Settings};
use crate::model::{
    Call, ClientId, Company, Division, Effect, FieldKind, FieldLayout, FieldName, Input, Layout, M3User, Place,
    ProgramName, TransactionLayout, TransactionName, Value,
};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use secrecy::SecretString;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// What M3 says to PWLOG.
#[derive(Debug, Clone, Copy)]
pub(super) enum Greeting {
    Say(&'static str),
    /// To itself, under this port id and with this answer to it.
    Reroute {
        host: &'static str,
        id: u32,
        answer: u32,
    },
}

pub(super) const PLAIN: Greeting = Greeting::Say("Connection accepted");

/// One step of an answer.
#[derive(Debug, Clone)]
pub(super) enum Do {
    /// One frame of text in the session's characters.
    Say(String),
    /// Bytes as they are, without a frame around them.
    Raw(Vec<u8>),
    /// Goes on once the test lets it.
    Wait(Arc<Semaphore>),
    /// FIN.
    End,
    /// RST: a machine that knows nothing of this connection any more.
    Reset,
}

pub(super) fn say(text: &str) -> Do {
    Do::Say(text.to_owned())
}

/// A request as the script sees it.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) connection: usize,
    pub(super) text: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    Opened,
    Frame(Vec<u8>),
    /// Four bytes without a frame: the port id.
    Bare(u32),
    Ended,
}

type Script = dyn Fn(&Ask<'_>) -> Option<Vec<Do>> + Send + Sync;

pub(super) struct FakeM3 {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    pub(super) tasks: Tasks,
    pub(super) metrics: Arc<Metrics>,
}

struct Shared {
    greeting: Mutex<Greeting>,
    password: Mutex<&'static str>,
    script: Box<Script>,
    seen: watch::Sender<Vec<(usize, Event)>>,
}

impl FakeM3 {
    /// `script` answers what it wants to; the rest is answered as [`ordinary`] does.
    pub(super) async fn start(
        greeting: Greeting,
        script: impl Fn(&Ask<'_>) -> Option<Vec<Do>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            greeting: Mutex::new(greeting),
            password: Mutex::new("secret-7"),
            script: Box::new(script),
            seen: watch::Sender::new(Vec::new()),
        });
        let tasks = Tasks::new();
        let (on, serving) = (shared.clone(), tasks.clone());
        tasks.spawn_until_stop(async move {
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let shared = on.clone();
                serving.spawn_until_stop(async move {
                    // Two writes in a row arrive together, so that a test needs no time to pass.
                    let _ = stream.set_nodelay(true);
                    shared.saw(number, Event::Opened);
                    let _ = shared.serve(number, stream, address).await;
                    shared.saw(number, Event::Ended);
                });
                number += 1;
            }
        });
        Self { address, shared, tasks, metrics: Arc::new(Metrics::new()) }
    }

    /// One that answers everything as M3 ordinarily does.
    pub(super) async fn ordinary() -> Self {
        Self::start(PLAIN, |_| None).await
    }

    pub(super) fn client(&self, shape: impl FnOnce(&mut Settings)) -> Client {
        let mut settings = Settings::new(self.address.to_string(), user());
        settings.users = [(user(), SecretString::from("secret-7"))].into();
        shape(&mut settings);
        Client::new(settings, self.metrics.clone(), self.tasks.clone()).expect("settings of the test")
    }

    pub(super) fn change_password(&self, password: &'static str) {
        *self.shared.password.lock().unwrap_or_else(PoisonError::into_inner) = password;
    }

    pub(super) fn greet(&self, greeting: Greeting) {
        *self.shared.greeting.lock().unwrap_or_else(PoisonError::into_inner) = greeting;
    }

    /// Everything of one connection.
    pub(super) fn connection(&self, number: usize) -> Vec<Event> {
        let seen = self.shared.seen.borrow();
        seen.iter().filter(|(of, _)| *of == number).map(|(_, event)| event.clone()).collect()
    }

    pub(super) fn connections(&self) -> usize {
        self.shared.seen.borrow().iter().filter(|(_, event)| *event == Event::Opened).count()
    }

    /// The requests that begin so, of all connections, as text of a single-byte session.
    pub(super) fn asked(&self, start: &str) -> Vec<String> {
        let seen = self.shared.seen.borrow();
        seen.iter()
            .filter_map(|(_, event)| match event {
                Event::Frame(bytes) => Some(bytes.iter().map(|byte| char::from(*byte)).collect::<String>()),
                Event::Opened | Event::Bare(_) | Event::Ended => None,
            })
            .filter(|text| text.starts_with(start))
            .collect()
    }

    /// Waits until what was seen is so.
    pub(super) async fn until(&self, what: &str, so: impl Fn(&[(usize, Event)]) -> bool) {
        let mut seen = self.shared.seen.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(20), seen.wait_for(|seen| so(seen)));
        let came = waited.await.is_ok_and(|seen| seen.is_ok());
        assert!(came, "{what} never came; seen: {:?}", self.shared.seen.borrow());
    }

    pub(super) async fn until_ended(&self, number: usize) {
        self.until("the end of a connection", |seen| seen.contains(&(number, Event::Ended))).await;
    }

    pub(super) async fn until_asked(&self, start: &str, times: usize) {
        let begins = |event: &Event| matches!(event, Event::Frame(bytes) if bytes.starts_with(start.as_bytes()));
        let count = |seen: &[(usize, Event)]| seen.iter().filter(|(_, event)| begins(event)).count();
        self.until(start, |seen| count(seen) >= times).await;
    }
}

impl Shared {
    fn saw(&self, number: usize, event: Event) {
        self.seen.send_modify(|seen| seen.push((number, event)));
    }

    async fn serve(&self, number: usize, mut stream: TcpStream, own: SocketAddr) -> std::io::Result<()> {
        let greeting = *self.greeting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut head = [0; 4];
        stream.read_exact(&mut head).await?;
        let wide = match greeting {
            Greeting::Reroute { id, answer, .. } if u32::from_be_bytes(head) == id => {
                self.saw(number, Event::Bare(id));
                // The place is given once the first connection has ended.
                let mut seen = self.seen.subscribe();
                let _ = seen.wait_for(|seen| seen.contains(&(number - 1, Event::Ended))).await;
                stream.write_all(&answer.to_be_bytes()).await?;
                true
            }
            Greeting::Reroute { .. } | Greeting::Say(_) => {
                let logon = self.frame(number, head, &mut stream).await?;
                let text = match greeting {
                    _ if !self.lets_in(&logon) => "NOK            Wrong user or password".to_owned(),
                    Greeting::Say(text) => text.to_owned(),
                    Greeting::Reroute { host, id, .. } => format!("CHG {host},{},{id}", own.port()),
                };
                stream.write_all(&framed(&text, false)).await?;
                text.starts_with("UCS2") || text.starts_with("NGCONOK")
            }
        };
        loop {
            stream.read_exact(&mut head).await?;
            let frame = self.frame(number, head, &mut stream).await?;
            let text = read(&frame, wide);
            let ask = Ask { connection: number, text: &text };
            for step in (self.script)(&ask).unwrap_or_else(|| vec![say(ordinary(&text))]) {
                match step {
                    Do::Say(text) => stream.write_all(&framed(&text, wide)).await?,
                    Do::Raw(bytes) => stream.write_all(&bytes).await?,
                    Do::Wait(gate) => gate.acquire().await.expect("a gate is never closed").forget(),
                    Do::End => return stream.shutdown().await,
                    Do::Reset => return stream.set_zero_linger(),
                }
            }
        }
    }

    async fn frame(&self, number: usize, head: [u8; 4], stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
        let mut payload = vec![0; u32::from_be_bytes(head) as usize];
        stream.read_exact(&mut payload).await?;
        self.saw(number, Event::Frame(payload.clone()));
        Ok(payload)
    }

    /// The mask taken off: bytes 0 to 9 against their digit, unless they are that digit.
    fn lets_in(&self, logon: &[u8]) -> bool {
        let clear = |(at, byte): (usize, &u8)| match u8::try_from(at) {
            Ok(at) if at < 10 && *byte != b'0' + at => byte ^ (b'0' + at),
            _ => *byte,
        };
        let password: Vec<u8> = logon[53..69].iter().enumerate().map(clear).collect();
        let right = *self.password.lock().unwrap_or_else(PoisonError::into_inner);
        password == format!("{right:<16}").into_bytes()
    }
}

/// A frame as M3 writes it: four bytes of length, then one or two bytes for each character.
pub(super) fn framed(text: &str, wide: bool) -> Vec<u8> {
    let mut payload = Vec::new();
    for c in text.chars() {
        let code = u32::from(c);
        if wide {
            payload.push((code >> 8) as u8);
        }
        payload.push((code & 0xff) as u8);
    }
    let mut frame = vec![0, 0, (payload.len() >> 8) as u8, (payload.len() & 0xff) as u8];
    frame.extend(payload);
    frame
}

fn read(bytes: &[u8], wide: bool) -> String {
    if wide {
        let units: Vec<u16> = bytes.chunks(2).map(|pair| (u16::from(pair[0]) << 8) | u16::from(pair[1])).collect();
        String::from_utf16_lossy(&units)
    } else {
        bytes.iter().map(|byte| char::from(*byte)).collect()
    }
}

/// What a healthy M3 says in this program.
pub(super) fn ordinary(request: &str) -> &'static str {
    const NO_FIELDS: &str = "NOK            No fields";
    match (request.get(..15).unwrap_or(request).trim_end(), request.get(15..).unwrap_or_default().trim_end()) {
        ("GetOutLayout", "GetUserInfo") => {
            "OK             ;ZZUSID,16,10;ZDCONO,26,3;ZDDIVI,29,3;ZDLANC,32,2;ZDDTFM,34,3;DSEP,37,1"
        }
        ("GetUserInfo", _) => "OK             MIDEMO    100AAAGBYMD.",
        ("GetOutLayout", "GetMIBuild") => "OK             ;VERS,16,2;MBLD,18,6",
        ("GetMIBuild", _) => "OK             151234  ",
        ("GetServerTime", _) => "OK             20260105  120000",
        ("GetInLayout", "GetBasicData" | "LstByNumber") => "OK             ;CONO,16,3;CUNO,19,10",
        ("GetOutLayout", "GetBasicData" | "LstByNumber") => "OK             ;CONO,16,3;CUNO,19,10;CUNM,29,20",
        ("GetInLayout", "ChgBasicData") => "OK             ;CONO,16,3;CUNO,19,10;CUNM,29,20;CRLM,49,17;REDA,66,10",
        ("GetInLayout", "ChgDivision") => "OK             ;DIVI,16,3;CUNM,19,20",
        ("GetInLayout", "SndData") => "OK             ;CUNM,16,20",
        ("GetInLayout" | "GetOutLayout", _) => NO_FIELDS,
        ("GetBasicData", _) => "OK             100C0001     Smith; Sons, Ltd",
        ("SetLstMaxRec" | "ChgBasicData" | "ChgDivision" | "LstByNumber", _) => "OK",
        _ => "NOK            Unknown transaction",
    }
}

// --- calls ---

pub(super) fn user() -> M3User {
    M3User::parse("MIDEMO").expect("a user of the test")
}

pub(super) fn program(name: &str) -> ProgramName {
    ProgramName::parse(name).expect("a program of the test")
}

pub(super) fn place(company: u16, division: &str) -> Place {
    let company = Company::new(company).expect("a company of the test");
    Place { company, division: Division::parse(division).expect("a division of the test") }
}

fn fields(list: &[(&str, FieldKind, u16, u16)]) -> Layout {
    let field = |(name, kind, from, length): &(&str, FieldKind, u16, u16)| FieldLayout {
        name: FieldName::parse(name).expect("a field of the test"),
        kind: *kind,
        from: *from,
        length: *length,
        mandatory: false,
        description: "".into(),
    };
    Layout::new(list.iter().map(field).collect())
}

/// The layouts that [`ordinary`] tells.
pub(super) fn layout(transaction: &str) -> Arc<TransactionLayout> {
    use FieldKind::{Alphanumeric, Date, Number};
    let key = [("CONO", Number, 16, 3), ("CUNO", Alphanumeric, 19, 10)];
    let row = [key[0], key[1], ("CUNM", Alphanumeric, 29, 20)];
    let change = [row[0], row[1], row[2], ("CRLM", Number, 49, 17), ("REDA", Date, 66, 10)];
    let division = [("DIVI", Alphanumeric, 16, 3), ("CUNM", Alphanumeric, 19, 20)];
    let (input, output) = match transaction {
        "ChgBasicData" => (fields(&change), Layout::default()),
        "ChgDivision" => (fields(&division), Layout::default()),
        "SndData" => (fields(&[("CUNM", Alphanumeric, 16, 20)]), Layout::default()),
        _ => (fields(&key), fields(&row)),
    };
    Arc::new(TransactionLayout {
        program: program("CRS610MI"),
        name: TransactionName::parse(transaction).expect("a transaction of the test"),
        description: "".into(),
        multi: transaction.starts_with("Lst"),
        input,
        output,
    })
}

pub(super) fn call(layout: &Arc<TransactionLayout>, given: &[(&str, &str)]) -> Call {
    let input = |(name, text): &(&str, &str)| {
        let at = layout.input.fields().iter().position(|field| field.name.as_str() == *name).expect("a field");
        let value = match layout.input.fields()[at].kind {
            FieldKind::Number => Value::Number((*text).into()),
            FieldKind::Date => Value::Date((*text).into()),
            FieldKind::Alphanumeric => Value::Text((*text).into()),
        };
        Input { at: u16::try_from(at).expect("few fields"), value }
    };
    Call {
        client: client("demo"),
        user: user(),
        place: place(100, "AAA"),
        layout: layout.clone(),
        effect: Effect::of(layout.program, layout.name),
        inputs: given.iter().map(input).collect(),
        max_records: 100,
        language: None,
        patience: Duration::from_secs(10),
    }
}

pub(super) fn client(name: &str) -> ClientId {
    ClientId { issuer: "test".into(), id: name.into() }
}

/// Reads one customer.
pub(super) fn get() -> Call {
    call(&layout("GetBasicData"), &[("CONO", "100"), ("CUNO", "C0001")])
}

/// Writes one.
pub(super) fn change() -> Call {
    call(&layout("ChgBasicData"), &[("CONO", "100"), ("CUNO", "C0001"), ("CUNM", "New name")])
}

/// Lists them.
pub(super) fn list() -> Call {
    call(&layout("LstByNumber"), &[("CONO", "100")])
}
