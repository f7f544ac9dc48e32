//! What a decision costs when a set is large, and what callers notice of its reload.
//!
//! A set has some global forbids and the rest of its rules spread over its clients, as real ones have. A decision is
//! evaluated when nobody asked it before (another company each time), and remembered when somebody did. Conditions that
//! compare the context with constants are answered without Cedar; those over fields are not, so all kinds are measured,
//! and the rules that hold are told with each row: what decides nothing measures nothing.

#![expect(clippy::print_stdout, reason = "a bench is there to print figures")]

mod common;

use bytes::Bytes;
use common::inside::{Inside, send};
use http::{Request, StatusCode};
use mi_gateway::mock_m3;
use mi_gateway::model::{
    ClientId, Company, Division, Effect, FieldKind, FieldLayout, FieldName, Input, Layout, M3User, Place, Principal,
    ProgramName, Standing, TransactionLayout, TransactionName, Value,
};
use mi_gateway::policies::{Active, Settings, ShadowSettings};
use mi_gateway::policy::{Ask, Asker, Set, Site, Source};
use mi_gateway::tasks::Tasks;
use mi_gateway::telemetry::Metrics;
use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The binary's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ISSUER: &str = "https://gateway.example";
const NOW: u64 = 1_800_000_000;
const FORBIDS: usize = 7;
const COMPANIES: u16 = 900;
const PROGRAMS: [&str; 6] = ["CRS610MI", "CRS620MI", "CRS630MI", "MMS200MI", "OIS100MI", "PPS200MI"];

/// What an evaluation may take at 5,000 rules.
const TARGET: f64 = 30.0;

/// What the clients' rules ask for.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Company, hour, network; spread over six programs.
    Plain,
    /// The same, all of a client's rules on the one program that is asked for.
    OneProgram,
    /// Besides, a name of a pattern.
    Pattern,
    /// Besides, what Cedar alone answers, for each of its rules.
    Cedar,
}

fn rules(rules: usize, clients: usize, kind: Kind) -> String {
    let mut text = String::new();
    for at in 0..FORBIDS.min(rules / 2) {
        let _ = writeln!(
            text,
            "@id(\"guard-{at}\") forbid (principal, action, resource in Program::\"EXT{at:03}MI\") when {{ resource.customer_made }};"
        );
    }
    for at in FORBIDS.min(rules / 2)..rules {
        // The nth rule of a client is on the nth program: every client has one on the first.
        let nth = (at - FORBIDS.min(rules / 2)) / clients;
        let program = PROGRAMS[if kind == Kind::OneProgram { 0 } else { nth % PROGRAMS.len() }];
        let client = at % clients;
        let besides = match kind {
            Kind::Plain | Kind::OneProgram => "",
            Kind::Pattern => "when { resource.name like \"Get*\" }",
            Kind::Cedar => "when { context.address.isLoopback() }",
        };
        let _ = writeln!(
            text,
            "@id(\"r-{at}\") @owner(\"o\") permit (principal == Client::\"c{client}\", action in Action::\"read\", resource in \
             Program::\"{program}\") when {{ context.company >= 1 && context.company <= 800 }} \
             when {{ context.minute >= 0 && context.address.isInRange(ip(\"0.0.0.0/0\")) }} {besides};"
        );
    }
    text
}

fn layout() -> Arc<TransactionLayout> {
    let field = |name| {
        let name = FieldName::parse(name).expect("a field");
        FieldLayout {
            name,
            kind: FieldKind::Alphanumeric,
            from: 16,
            length: 10,
            mandatory: true,
            description: "".into(),
        }
    };
    Arc::new(TransactionLayout {
        program: ProgramName::parse("CRS610MI").expect("a program"),
        name: TransactionName::parse("GetBasicData").expect("a transaction"),
        description: "".into(),
        multi: false,
        input: Layout::new(vec![field("CUNO")]),
        output: Layout::default(),
    })
}

struct Caller {
    clients: Vec<ClientId>,
    user: M3User,
    layout: Arc<TransactionLayout>,
    inputs: Vec<Input>,
}

impl Caller {
    fn new(clients: usize) -> Self {
        let client = |at| ClientId { issuer: ISSUER.into(), id: format!("c{at}").into() };
        let (clients, user) = ((0..clients).map(client).collect(), M3User::parse("MIDEMO").expect("a user"));
        let inputs = vec![Input { at: 0, value: Value::Text("C00001".into()) }];
        Self { clients, user, layout: layout(), inputs }
    }

    fn ask(&self, client: usize, company: u16) -> Ask<'_> {
        let place = Place { company: Company::new(company).expect("a company"), division: Division::BLANK };
        Ask {
            asker: Asker { client: &self.clients[client], groups: &[], scopes: &[], claims: &[] },
            program: self.layout.program,
            transaction: self.layout.name,
            effect: Effect::Read,
            place,
            m3_user: &self.user,
            layout: &self.layout,
            inputs: &self.inputs,
            record: None,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            unix_seconds: NOW,
        }
    }

    fn decide(&self, set: &Set, client: usize, company: u16) -> usize {
        set.decide(black_box(&self.ask(client, company))).rules.len()
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

fn timed<T>(mut one: impl FnMut() -> T) -> Duration {
    let begun = Instant::now();
    black_box(one());
    begun.elapsed()
}

fn decisions(count: usize, clients: usize, kind: Kind) {
    let source = Source { name: "all.cedar".into(), text: rules(count, clients, kind) };
    let begun = Instant::now();
    let set = Set::load(&[source], &Site::of(ISSUER), &|_, _| None).expect("a set");
    let loaded = begun.elapsed();
    let caller = Caller::new(clients);
    // Clients that have rules: with few rules most have none, and those would be refused without an evaluation.
    let asking = count.saturating_sub(FORBIDS).clamp(1, clients).min(50);
    let asker = |at: usize| FORBIDS.min(count / 2) % clients + at % asking;
    let first = median((0..asking).map(|at| timed(|| caller.decide(&set, asker(at) % clients, 1))).collect());
    let new = |at: usize| 2 + u16::try_from(at % usize::from(COMPANIES)).unwrap_or_default();
    let evaluated = (0..usize::from(COMPANIES) * asking.min(20))
        .map(|at| timed(|| caller.decide(&set, asker(at / usize::from(COMPANIES)) % clients, new(at))));
    let evaluated = median(evaluated.collect());
    let remembered = median((0..10_000).map(|at| timed(|| caller.decide(&set, asker(at) % clients, 1))).collect());
    let hold = caller.decide(&set, asker(0) % clients, 1);
    let what = match kind {
        Kind::Plain => "spread over 6 programs",
        Kind::OneProgram => "on one program",
        Kind::Pattern => "spread, with a pattern",
        Kind::Cedar => "spread, with Cedar",
    };
    let target = if count == 5_000 { format!(" (target {TARGET} µs)") } else { String::new() };
    println!(
        "{count:>5} rules, {clients:>4} clients, {what:<22}, {hold:>2} hold: loaded in {:>7.1} ms; a client's first {first:>7.1} µs; evaluated \
         {evaluated:>6.2} µs{target}; remembered {remembered:>5.2} µs",
        loaded.as_secs_f64() * 1e3
    );
}

fn percentiles(mut times: Vec<Duration>) -> (f64, f64, f64) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    (at(0.5), at(0.99), at(0.999))
}

/// Decisions, one after the other, as long as it is asked for.
fn asked(active: &Active, caller: &Caller, until: impl Fn() -> bool) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut at = 0;
    while !until() {
        at += 1;
        times.push(timed(|| caller.decide(&active.set(), at % caller.clients.len(), 1 + (at % 700) as u16)));
    }
    times
}

fn reload(folder: &Path) {
    const RULES: usize = 5_000;
    const CLIENTS: usize = 1_000;
    const ALONE: Duration = Duration::from_secs(3);
    const RELOADS: usize = 3;
    let text = rules(RULES, CLIENTS, Kind::Plain);
    let write = |mark: usize| std::fs::write(folder.join("all.cedar"), format!("// {mark}\n{text}")).expect("a file");
    write(0);
    let settings = Settings { dir: folder.to_owned(), ..Settings::default() };
    let active = Active::load(settings, Site::of(ISSUER), Arc::new(|_, _| None), Arc::new(|_| Ok(())), Metrics::new())
        .expect("a set");
    let caller = Caller::new(CLIENTS);
    let begun = Instant::now();
    let alone = percentiles(asked(&active, &caller, || begun.elapsed() > ALONE));
    let done = AtomicBool::new(false);
    let during = thread::scope(|scope| {
        scope.spawn(|| {
            for mark in 1..=RELOADS {
                write(mark);
                active.look(&|_| {});
            }
            done.store(true, Ordering::Release);
        });
        percentiles(asked(&active, &caller, || done.load(Ordering::Acquire)))
    });
    let shown =
        |(middle, p99, p999): (f64, f64, f64)| format!("median {middle:.2} µs, p99 {p99:.1} µs, p99.9 {p999:.1} µs");
    println!("decisions with {RULES} rules, nothing else going on: {}", shown(alone));
    println!("the same while the set is read anew {RELOADS} times:     {}", shown(during));
}

/// The same as a caller of a running gateway notices it: whole requests, while the gateway finds out by itself that its
/// folder was written anew.
async fn requests() {
    const CALL: &str = "/DEMO_TST/M3/m3api-rest/v2/execute/CRS610MI/GetBasicData;cono=100?CUNO=C00001";
    const ALONE: Duration = Duration::from_secs(5);
    const RELOADS: usize = 3;
    let text = rules(5_000, 1_000, Kind::Plain);
    let mut file = PathBuf::new();
    let Inside { running, token, state } = Inside::start_with(mock_m3::Settings::default(), |settings| {
        file = settings.policies.join("many.cedar");
        std::fs::write(&file, &text).expect("a file");
    })
    .await;
    let mut service = running.gateway.clone();
    let mut one = async || {
        let request = Request::get(CALL).header("authorization", format!("Bearer {token}")).body(Bytes::new());
        let begun = Instant::now();
        let (status, body) = send(&mut service, request.expect("a request")).await;
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
        begun.elapsed()
    };
    for _ in 0..3_000 {
        one().await;
    }
    let (begun, mut alone) = (Instant::now(), Vec::new());
    while begun.elapsed() < ALONE {
        alone.push(one().await);
    }
    let in_force = || {
        let told = running.metrics.text();
        told.lines().find(|line| line.starts_with("mi_gateway_policy_set{")).map(str::to_owned)
    };
    let (mut during, mut longest) = (Vec::new(), Duration::ZERO);
    for mark in 1..=RELOADS {
        let (before, written) = (in_force(), Instant::now());
        std::fs::write(
            &file,
            format!("@id(\"mark-{mark}\") forbid (principal == Client::\"nobody\", action, resource);\n{text}"),
        )
        .expect("a file");
        while in_force() == before {
            // A look at the metrics is not part of a request.
            for _ in 0..200 {
                during.push(one().await);
            }
            assert!(written.elapsed() < Duration::from_secs(60), "the folder was not read anew");
        }
        longest = longest.max(written.elapsed());
    }
    let shown =
        |(middle, p99, p999): (f64, f64, f64)| format!("median {middle:.1} µs, p99 {p99:.1} µs, p99.9 {p999:.1} µs");
    println!("requests with 5000 rules, nothing else going on:   {}", shown(percentiles(alone)));
    println!("the same while the folder is rewritten {RELOADS} times:     {}", shown(percentiles(during)));
    println!("(in force {:.1} s after it was written, at the latest)", longest.as_secs_f64());
    running.stop().await;
    drop(state);
}

/// What a call is slower by when a candidate is asked beside the set in force.
fn shadow(folder: &Path) {
    const ASKED: usize = 100_000;
    std::fs::write(folder.join("all.cedar"), rules(5_000, 100, Kind::Plain)).expect("a file");
    let shadow = Some(ShadowSettings { dir: folder.to_owned(), told: None });
    let settings = Settings { dir: folder.to_owned(), shadow, ..Settings::default() };
    let metrics = Metrics::new();
    let active = Active::load(settings, Site::of(ISSUER), Arc::new(|_, _| None), Arc::new(|_| Ok(())), metrics.clone())
        .expect("a set");
    let (runtime, tasks) = (tokio::runtime::Runtime::new().expect("a runtime"), Tasks::new());
    runtime.block_on(async { active.watch(&tasks, |_| {}, |_| {}) });
    let (caller, shadow) = (Caller::new(100), active.shadow().expect("it is set"));
    let who = Principal {
        client: caller.clients[FORBIDS].clone(),
        tenant: None,
        scopes: Arc::default(),
        groups: Arc::default(),
        claims: Arc::default(),
        expires_at: u64::MAX,
        token_id: "".into(),
        standing: Arc::new(Standing::default()),
    };
    let times = (0..ASKED).map(|at| {
        let ask = caller.ask(FORBIDS, 1 + (at % 700) as u16);
        let decision = active.set().decide(&ask);
        timed(|| shadow.values(&who, &ask, (&caller.layout, None), &decision, at))
    });
    let (middle, p99, _) = percentiles(times.collect());
    let dropped = metrics.policy_shadow_dropped.get();
    println!(
        "a shadow set of 5000 rules adds to a decision: median {middle:.2} µs, p99 {p99:.1} µs; {dropped} of {ASKED} dropped"
    );
}

fn main() {
    for count in [10, 1_000, 5_000] {
        for clients in [100, 1_000] {
            decisions(count, clients, Kind::Plain);
        }
    }
    for kind in [Kind::OneProgram, Kind::Pattern, Kind::Cedar] {
        decisions(5_000, 100, kind);
    }
    let folder = tempfile::tempdir().expect("a folder");
    reload(folder.path());
    // As the binary has it: what reads the folder is on another thread than whoever asks.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(requests());
    shadow(folder.path());
}
