//! The mock as a whole: its two ports, its sessions, and what tests and operators may do to it.

use super::engine::{Engine, Options, Row};
use super::faults::Faults;
use super::logon::{Admitted, Asked, Gatekeeper, welcome};
use super::metadata::{Metadata, Transaction};
use super::seen::{Seen, SeenCall};
use super::session::{Kill, Session};
use super::settings::{Profile, ReplyMode, Settings};
use super::tokens::Tokens;
use super::wire::{Connection, Wide};
use crate::tasks::Tasks;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A running mock. A clone is the same one.
#[derive(Debug, Clone)]
pub struct Mock(Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    address: SocketAddr,
    second: SocketAddr,
    rest: Option<SocketAddr>,
    pub(super) tokens: Tokens,
    pub(super) profile: Profile,
    pub(super) engine: Engine,
    pub(super) metadata: RwLock<Arc<Metadata>>,
    pub(super) build: AtomicU64,
    faults: Mutex<Faults>,
    seen: Mutex<Seen>,
    gatekeeper: Mutex<Gatekeeper>,
    /// Logons that were sent to the second port and have not come yet.
    rerouted: Mutex<BTreeMap<u32, (Instant, Admitted)>>,
    next_id: AtomicU32,
    sessions: Mutex<HashMap<u32, watch::Sender<Option<Kill>>>>,
    logons: AtomicU64,
    refused: AtomicU64,
}

const MOST_REROUTED: usize = 1_024;
/// A port id is good for this long.
const REROUTE_HOLDS: Duration = Duration::from_secs(30);
/// Sessions at once; more connections are closed as they come.
const MOST_SESSIONS: usize = 4_096;

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mock {
    /// Listens on the address of the settings and, for rerouted sessions, on a second port beside it.
    pub async fn start(settings: Settings, tasks: &Tasks) -> io::Result<Self> {
        let first = TcpListener::bind(settings.listen).await?;
        let second = TcpListener::bind(SocketAddr::new(first.local_addr()?.ip(), 0)).await?;
        if let Some(folder) = settings.journal.as_deref().and_then(Path::parent) {
            std::fs::create_dir_all(folder)?;
        }
        let rest = match settings.rest {
            Some(address) => Some(TcpListener::bind(address).await?),
            None => None,
        };
        let metadata = Arc::new(Metadata::shipped());
        let options = Options { big_list: settings.big_list, journal: settings.journal };
        let engine = Engine::new(metadata.clone(), options);
        let shared = Arc::new(Shared {
            address: first.local_addr()?,
            second: second.local_addr()?,
            rest: rest.as_ref().map(TcpListener::local_addr).transpose()?,
            tokens: Tokens::default(),
            engine,
            metadata: RwLock::new(metadata),
            build: AtomicU64::new(1),
            faults: Mutex::default(),
            seen: Mutex::default(),
            gatekeeper: Mutex::new(Gatekeeper::new(settings.users, settings.profile.honours_place)),
            profile: settings.profile,
            rerouted: Mutex::default(),
            next_id: AtomicU32::new(1),
            sessions: Mutex::default(),
            logons: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        accept(first, shared.clone(), tasks, Port::First);
        accept(second, shared.clone(), tasks, Port::Second);
        if let Some(rest) = rest {
            accept(rest, shared.clone(), tasks, Port::Rest);
        }
        Ok(Self(shared))
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Where m3api-rest is served, if it is.
    pub fn rest_address(&self) -> Option<SocketAddr> {
        self.0.rest
    }

    /// Tokens that this user was given since the start.
    pub fn tokens_of(&self, user: &str) -> u64 {
        self.0.tokens.of(user)
    }

    /// Every token that was given is worth nothing from now on.
    pub fn end_tokens(&self) {
        self.0.tokens.end();
    }

    /// The newest calls, technical ones too.
    pub fn calls(&self) -> Vec<SeenCall> {
        locked(&self.0.seen).all()
    }

    pub fn clear_calls(&self) {
        locked(&self.0.seen).clear();
    }

    pub fn faults(&self) -> Faults {
        locked(&self.0.faults).clone()
    }

    pub fn set_faults(&self, faults: Faults) {
        *locked(&self.0.faults) = faults;
    }

    /// Logons that were let in since the start.
    pub fn logons(&self) -> u64 {
        self.0.logons.load(Ordering::Relaxed)
    }

    /// Logons that were refused since the start.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    pub fn sessions(&self) -> usize {
        locked(&self.0.sessions).len()
    }

    pub fn kill_sessions(&self, how: Kill) {
        for session in locked(&self.0.sessions).values() {
            session.send_replace(Some(how));
        }
    }

    pub fn unlock(&self, user: &str) {
        locked(&self.0.gatekeeper).unlock(user);
    }

    pub fn change_password(&self, user: &str, password: &str) {
        locked(&self.0.gatekeeper).change_password(user, password);
    }

    /// A record of the program's main kind, as M3 holds it.
    pub fn record(&self, program: &str, company: u16, key: &[(&str, &str)]) -> Option<Row> {
        self.0.engine.record(program, company, key)
    }

    /// A person looks at what was entered and stopped for him: it is created, as far as it can be.
    pub fn release(&self) {
        self.0.engine.release();
    }

    /// MRS001MI describes this transaction as it was before its newest fields came.
    pub fn leave_repository_behind(&self, program: &str, transaction: &str) {
        self.upgrade(|metadata| {
            if let Some(found) = metadata.transaction_mut(program, transaction) {
                found.behind = true;
            }
        });
    }

    /// A release without this transaction, which is given back for a later one.
    pub fn remove_transaction(&self, program: &str, transaction: &str) -> Transaction {
        let mut removed = None;
        self.upgrade(|metadata| removed = metadata.remove(program, transaction));
        removed.unwrap_or_else(|| panic!("the mock has no {program}/{transaction}"))
    }

    pub fn add_transaction(&self, transaction: Transaction) {
        self.upgrade(|metadata| metadata.add(transaction));
    }

    /// Another user has this record open: until it is unlocked nobody changes it.
    pub fn lock_record(&self, program: &str, company: u16, key: &[(&str, &str)]) {
        self.0.engine.lock(program, company, key);
    }

    pub fn unlock_records(&self) {
        self.0.engine.unlock();
    }

    /// A second release: the field is wider in input and output, and everything behind it stands further on.
    pub fn widen(&self, program: &str, transaction: &str, field: &str, by: usize) {
        self.upgrade(|metadata| {
            let Some(found) = metadata.transaction_mut(program, transaction) else { return };
            for fields in [&mut found.input, &mut found.output] {
                let mut column = 16;
                for one in fields {
                    one.from = column;
                    if one.name == field {
                        one.length += by;
                    }
                    column += one.length;
                }
            }
        });
    }

    /// A second release without this field.
    pub fn remove_field(&self, program: &str, transaction: &str, field: &str) {
        self.upgrade(|metadata| {
            if let Some(found) = metadata.transaction_mut(program, transaction) {
                found.input.retain(|one| one.name != field);
                found.output.retain(|one| one.name != field);
            }
        });
        self.widen(program, transaction, "", 0);
    }

    fn upgrade(&self, change: impl FnOnce(&mut Metadata)) {
        let mut held = self.0.metadata.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Metadata::clone(&held);
        change(&mut next);
        *held = Arc::new(next);
        self.0.engine.set_metadata(held.clone());
        self.0.build.fetch_add(1, Ordering::Relaxed);
    }
}

/// After an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What is spoken on a port.
#[derive(Debug, Clone, Copy)]
enum Port {
    First,
    /// Of rerouted sessions.
    Second,
    Rest,
}

fn accept(listener: TcpListener, shared: Arc<Shared>, tasks: &Tasks, port: Port) {
    let on = tasks.clone();
    tasks.spawn_until_stop(async move {
        loop {
            // A failed accept is the peer's doing or a moment without descriptors: the next one may work.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let shared = shared.clone();
            if locked(&shared.sessions).len() >= MOST_SESSIONS {
                continue;
            }
            on.spawn_until_stop(async move {
                let _ = stream.set_nodelay(true);
                // A peer that breaks off ends its own session and nothing else.
                let _ = match port {
                    Port::First => shared.first(stream).await,
                    Port::Second => shared.second(stream).await,
                    Port::Rest => shared.rest(stream).await,
                };
            });
        }
    });
}

impl Shared {
    pub(super) fn metadata(&self) -> Arc<Metadata> {
        self.metadata.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn fault(&self, program: &str, transaction: &str, technical: bool) -> Option<super::faults::Fault> {
        locked(&self.faults).take(program, transaction, technical)
    }

    /// The next call's latency: spread over the profile's range, and the same in every run.
    pub(super) fn latency(&self) -> u64 {
        let (least, most) = self.profile.latency_ms;
        if most == 0 {
            return 0;
        }
        let at = u64::from(self.next_id.fetch_add(1, Ordering::Relaxed));
        least + at.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) % (most - least).max(1)
    }

    pub(super) fn note(&self, call: SeenCall) {
        locked(&self.seen).note(call);
    }

    /// The dispatcher's port: one logon, answered in single bytes.
    async fn first(self: Arc<Self>, stream: TcpStream) -> io::Result<()> {
        let mut connection = Connection::new(stream);
        let payload = connection.next().await?;
        let admitted = match Asked::parse(&payload) {
            Some(asked) => {
                let latency = self.fault(&asked.program, "LOGON", true).and_then(|fault| fault.latency_ms);
                super::session::wait(latency.or(Some(self.profile.logon_ms))).await;
                locked(&self.gatekeeper).admit(&asked)
            }
            None => Err("The logon is not one of this server's".to_owned()),
        };
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(text) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return connection.say(&format!("NOK {text}")).await;
            }
        };
        self.logons.fetch_add(1, Ordering::Relaxed);
        if self.profile.reply_mode == ReplyMode::Reroute {
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            {
                let mut rerouted = locked(&self.rerouted);
                rerouted.retain(|_, (since, _)| since.elapsed() < REROUTE_HOLDS);
                if rerouted.len() >= MOST_REROUTED {
                    rerouted.pop_first();
                }
                rerouted.insert(id, (Instant::now(), admitted));
            }
            return connection.say(&format!("CHG {},{},{id}", self.second.ip(), self.second.port())).await;
        }
        if self.metadata().program(&admitted.program).is_none() {
            return connection.say(&format!("NOK Program {} not found", admitted.program)).await;
        }
        let wide = match self.profile.reply_mode {
            ReplyMode::NgConOk | ReplyMode::Ucs2 | ReplyMode::Reroute => Wide::Two,
            ReplyMode::Plain | ReplyMode::Win => Wide::One,
        };
        connection.say(welcome(self.profile.reply_mode)).await?;
        self.serve(connection, admitted, wide).await
    }

    /// The port of rerouted sessions: a port id, a return code, then UCS-2.
    async fn second(self: Arc<Self>, stream: TcpStream) -> io::Result<()> {
        let mut connection = Connection::new(stream);
        let id = connection.bare().await?;
        let admitted = locked(&self.rerouted).remove(&id).filter(|(since, _)| since.elapsed() < REROUTE_HOLDS);
        let Some((_, admitted)) = admitted else { return connection.say_bare(2).await };
        if self.metadata().program(&admitted.program).is_none() {
            return connection.say_bare(1).await;
        }
        connection.say_bare(0).await?;
        self.serve(connection, admitted, Wide::Two).await
    }

    async fn rest(self: Arc<Self>, stream: TcpStream) -> io::Result<()> {
        let (_listed, killed) = self.listed();
        super::rest::serve(self.clone(), stream, killed).await
    }

    /// On the list of those that can be ended from outside.
    fn listed(self: &Arc<Self>) -> (Listed, watch::Receiver<Option<Kill>>) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (kill, killed) = watch::channel(None);
        locked(&self.sessions).insert(id, kill);
        (Listed { shared: self.clone(), id }, killed)
    }

    pub(super) fn admit(&self, asked: &Asked) -> Result<Admitted, String> {
        locked(&self.gatekeeper).admit(asked).inspect_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
        })
    }

    pub(super) fn enter(&self, asked: &Asked) -> Result<Admitted, String> {
        locked(&self.gatekeeper).enter(asked)
    }

    async fn serve(self: Arc<Self>, connection: Connection, admitted: Admitted, wide: Wide) -> io::Result<()> {
        let (_listed, killed) = self.listed();
        Session::new(self.clone(), connection, admitted, wide).run(killed).await
    }
}

/// Takes a session off the list when it ends, however it ends.
struct Listed {
    shared: Arc<Shared>,
    id: u32,
}

impl Drop for Listed {
    fn drop(&mut self) {
        locked(&self.shared.sessions).remove(&self.id);
    }
}
