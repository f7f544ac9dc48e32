//! The stages of a request apart: token, words, policy, records to text, the lines in the logs.

#![expect(clippy::print_stdout, reason = "a bench is there to print figures")]

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
    RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use futures_util::FutureExt;
use mi_gateway::audit;
use mi_gateway::auth::{
    Algorithm, ClientFacts, Directory, IssuerRules, KeySet, Keys, Presented, ProofSettings, Proofs, Scheme, Shown,
    Verifier, install_crypto,
};
use mi_gateway::limit::{Caller, Charge, Limits, Plan};
use mi_gateway::mock_m3::{self, Metadata};
use mi_gateway::model::{
    Charset, ClientId, Company, Conventions, Division, Effect, FieldKind, FieldLayout, FieldName, Layout, M3User, Peer,
    Place, ProgramName, Record, TransactionLayout, TransactionName,
};
use mi_gateway::policies::Files;
use mi_gateway::policy::{Ask, Asker, Set, Site};
use mi_gateway::tasks::Tasks;
use mi_gateway::telemetry::{AccessLine, AccessLog, Metrics, RequestId};
use mi_gateway::translate::{Document, Format, Options, Shape, Table, placed, read};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// The binary's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ISSUER: &str = "https://gateway.example";
const CLIENT: &str = "DEMO_TST~bench";
const NOW: u64 = 1_800_000_000;

enum Signer {
    Ec(EcdsaKeyPair),
    Ec384(EcdsaKeyPair),
    /// With the name of the algorithm.
    Rsa(RsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
}

impl Signer {
    fn ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
    }

    fn ec384() -> Self {
        Self::Ec384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("a key"))
    }

    fn rsa(algorithm: &'static str) -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"), algorithm)
    }

    fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().expect("a key"))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ec(_) => "ES256",
            Self::Ec384(_) => "ES384",
            Self::Rsa(_, algorithm) => algorithm,
            Self::Ed(_) => "EdDSA",
        }
    }

    fn jwk(&self) -> serde_json::Value {
        let mut jwk = self.bare_jwk();
        jwk["kid"] = json!("k");
        jwk["alg"] = json!(self.algorithm());
        jwk
    }

    /// What every key of its kind has, in the order of the names: its thumbprint is the hash of this text.
    fn bare_jwk(&self) -> serde_json::Value {
        let coded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"crv": "P-256", "kty": "EC", "x": coded(x), "y": coded(y)})
            }
            Self::Ec384(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(48);
                json!({"crv": "P-384", "kty": "EC", "x": coded(x), "y": coded(y)})
            }
            Self::Rsa(pair, _) => {
                let public: RsaPublicKeyComponents<Vec<u8>> = pair.public_key().into();
                json!({"e": coded(&public.e), "kty": "RSA", "n": coded(&public.n)})
            }
            Self::Ed(pair) => json!({"crv": "Ed25519", "kty": "OKP", "x": coded(pair.public_key().as_ref())}),
        }
    }

    fn token(&self, id: u64) -> String {
        self.bound_token(id, None)
    }

    fn bound_token(&self, id: u64, jkt: Option<&str>) -> String {
        let header = json!({"alg": self.algorithm(), "typ": "at+jwt", "kid": "k"});
        let mut claims = json!({
            "iss": ISSUER, "aud": ISSUER, "sub": CLIENT, "client_id": CLIENT, "iat": NOW, "exp": NOW + 7_200,
            "jti": format!("token-{id}"), "scope": "", "Tenant": "DEMO_TST", "grant_id": "f", "client_generation": 1,
        });
        if let Some(jkt) = jkt {
            claims["cnf"] = json!({"jkt": jkt});
        }
        self.signed(&header, &claims)
    }

    /// Of a call to the path `/call` with this token.
    fn proof(&self, id: u64, token: &str) -> String {
        let header = json!({"typ": "dpop+jwt", "alg": self.algorithm(), "jwk": self.bare_jwk()});
        let claims = json!({
            "jti": format!("proof-{id}"), "htm": "GET", "htu": format!("{ISSUER}/call"), "iat": NOW, "ath": hash(token),
        });
        self.signed(&header, &claims)
    }

    fn signed(&self, header: &serde_json::Value, claims: &serde_json::Value) -> String {
        let coded = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", coded(header), coded(claims));
        let signature = match self {
            Self::Ec(pair) | Self::Ec384(pair) => {
                pair.sign(&SystemRandom::new(), message.as_bytes()).expect("signs").as_ref().to_vec()
            }
            Self::Ed(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Self::Rsa(pair, algorithm) => {
                let padding: &'static dyn RsaEncoding = match *algorithm {
                    "RS256" => &RSA_PKCS1_SHA256,
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    other => unreachable!("no bench signs with {other}"),
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                let random = SystemRandom::new();
                pair.sign(padding, &random, message.as_bytes(), &mut signature).expect("signs");
                signature
            }
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn verifier(&self) -> Verifier {
        install_crypto();
        let keys = Keys::new();
        let document = json!({"keys": [self.jwk()]}).to_string();
        keys.replace(KeySet::parse(document.as_bytes()).expect("a key set"));
        let facts = ClientFacts {
            groups: Arc::new(["demo".into()]),
            standing: Arc::default(),
            tenant: None,
            generation: 1,
            revoked: false,
        };
        let directory = Directory::new();
        directory.replace(ISSUER, HashMap::from([(CLIENT.into(), facts)]), HashSet::new());
        let algorithms = vec![
            Algorithm::Rs256,
            Algorithm::Rs384,
            Algorithm::Rs512,
            Algorithm::Ps256,
            Algorithm::Ps384,
            Algorithm::Ps512,
            Algorithm::Es256,
            Algorithm::Es384,
            Algorithm::EdDsa,
        ];
        let rules = vec![IssuerRules { algorithms, ..IssuerRules::local(ISSUER, keys) }];
        let proofs = Proofs::new(ISSUER, ProofSettings::default(), &[1; 32], &Metrics::new());
        Verifier::new("https://gateway.example", rules, directory, proofs, &Metrics::new(), &Tasks::new())
            .expect("a verifier")
    }
}

fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

fn verify(verifier: &Verifier, token: &str) {
    let verified =
        verifier.verify(token, &Presented::BEARER, NOW).now_or_never().expect("local keys are not waited for");
    black_box(verified.expect("a good token"));
}

/// Each token is a new one.
fn new_tokens(bencher: Bencher<'_, '_>, signer: &Signer) {
    let verifier = signer.verifier();
    let mut id = 0;
    bencher
        .with_inputs(|| {
            id += 1;
            signer.token(id)
        })
        .bench_local_values(|token| verify(&verifier, &token));
}

#[divan::bench(sample_count = 500, sample_size = 1)]
fn token_es256(bencher: Bencher<'_, '_>) {
    new_tokens(bencher, &Signer::ec());
}

#[divan::bench(sample_count = 500, sample_size = 1)]
fn token_es384(bencher: Bencher<'_, '_>) {
    new_tokens(bencher, &Signer::ec384());
}

#[divan::bench(sample_count = 500, sample_size = 1)]
fn token_rs256(bencher: Bencher<'_, '_>) {
    new_tokens(bencher, &Signer::rsa("RS256"));
}

#[divan::bench(sample_count = 500, sample_size = 1)]
fn token_ps256(bencher: Bencher<'_, '_>) {
    new_tokens(bencher, &Signer::rsa("PS256"));
}

/// The same keys with longer hashes.
#[divan::bench(sample_count = 500, sample_size = 1, args = ["RS384", "RS512", "PS384", "PS512"])]
fn token_rsa(bencher: Bencher<'_, '_>, algorithm: &'static str) {
    new_tokens(bencher, &Signer::rsa(algorithm));
}

#[divan::bench(sample_count = 500, sample_size = 1)]
fn token_eddsa(bencher: Bencher<'_, '_>) {
    new_tokens(bencher, &Signer::ed());
}

/// The token is known; each proof of its key is a new one.
#[divan::bench(sample_count = 500, sample_size = 1, args = ["ES256", "EdDSA", "PS256"])]
fn proof_of_a_known_token(bencher: Bencher<'_, '_>, algorithm: &str) {
    let (issuer, holder) = (
        Signer::ec(),
        match algorithm {
            "ES256" => Signer::ec(),
            "EdDSA" => Signer::ed(),
            _ => Signer::rsa("PS256"),
        },
    );
    let verifier = issuer.verifier();
    let token = issuer.bound_token(0, Some(&hash(&holder.bare_jwk().to_string())));
    let mut id = 0;
    bencher
        .with_inputs(|| {
            id += 1;
            holder.proof(id, &token)
        })
        .bench_local_values(|proof| {
            let proof = Shown::One(&proof);
            let with = Presented { scheme: Scheme::Dpop, proof, path: "/call", ..Presented::BEARER };
            let verified = verifier.verify(&token, &with, NOW).now_or_never().expect("local keys are not waited for");
            black_box(verified.expect("a good proof"));
        });
}

#[divan::bench]
fn token_known(bencher: Bencher<'_, '_>) {
    let signer = Signer::rsa("RS256");
    let (verifier, token) = (signer.verifier(), signer.token(0));
    bencher.bench_local(|| verify(&verifier, black_box(&token)));
}

const TAIL: &str = "CRS610MI/GetBasicData;cono=100";

#[divan::bench]
fn request_read() {
    black_box(read(black_box(TAIL), black_box(Some("CUNO=C00001&returncols=CUNO,CUNM"))).expect("a request"));
}

fn layout(program: &str, name: &str) -> Arc<TransactionLayout> {
    let metadata = Metadata::shipped();
    let found = metadata.transaction(program, name).expect("a transaction of the table");
    let fields = |fields: &[mock_m3::Field]| {
        let field = |field: &mock_m3::Field| FieldLayout {
            name: FieldName::parse(&field.name).expect("a name"),
            kind: FieldKind::of(&field.kind.to_string()).expect("a kind"),
            from: u16::try_from(field.from).expect("a column"),
            length: u16::try_from(field.length).expect("a length"),
            mandatory: field.mandatory,
            description: field.description.as_str().into(),
        };
        Layout::new(fields.iter().map(field).collect())
    };
    Arc::new(TransactionLayout {
        program: ProgramName::parse(program).expect("a name"),
        name: TransactionName::parse(name).expect("a name"),
        description: found.description.as_str().into(),
        multi: found.multi,
        input: fields(&found.input),
        output: fields(&found.output),
    })
}

/// A record of this layout with something in every second field.
fn record(layout: &TransactionLayout) -> Record {
    let mut text = format!("{:<15}", "REP");
    for (at, field) in layout.output.fields().iter().enumerate() {
        let width = usize::from(field.length);
        let value = match field.kind {
            FieldKind::Number => "1234.5",
            FieldKind::Date => "20260131",
            FieldKind::Alphanumeric if at % 2 == 0 => "Müller & Söhne GmbH",
            FieldKind::Alphanumeric => "",
        };
        let value: String = value.chars().take(width).collect();
        text.push_str(&format!("{value:<width$}"));
    }
    let mut payload = Vec::new();
    Charset::Ucs2.encode(&text, &mut payload).expect("UCS-2 carries everything");
    Record::new(payload.into(), Charset::Ucs2, Conventions::default())
}

fn thousand(bencher: Bencher<'_, '_>, shape: Shape, format: Format) {
    let layout = layout("CRS610MI", "LstByNumber");
    let record = record(&layout);
    let options = Options { format, ..Options::default() };
    bencher.counter(ItemsCount::new(1_000_usize)).bench_local(|| {
        let table = Table::new(&options, layout.clone(), shape.trims_by_default(), |_| true).expect("a table");
        let mut document = Document::new(shape, table, options.clone(), Vec::new());
        let mut out = Vec::with_capacity(64 * 1024);
        let mut bytes = 0;
        document.head(&mut out);
        for _ in 0..1_000 {
            document.record(black_box(&record), &mut out);
            if out.len() > 16 * 1024 {
                bytes += out.len();
                out.clear();
            }
        }
        document.tail(None, None, &mut out);
        bytes + out.len()
    });
}

#[divan::bench]
fn records_v2_pretty(bencher: Bencher<'_, '_>) {
    thousand(bencher, Shape::V2, Format::Pretty);
}

#[divan::bench]
fn records_v2_unformatted(bencher: Bencher<'_, '_>) {
    thousand(bencher, Shape::V2, Format::Unformatted);
}

#[divan::bench]
fn records_v1(bencher: Bencher<'_, '_>) {
    thousand(bencher, Shape::V1Json, Format::Unformatted);
}

#[divan::bench]
fn records_v1_xml(bencher: Bencher<'_, '_>) {
    thousand(bencher, Shape::V1Xml, Format::Unformatted);
}

#[divan::bench(args = [true, false])]
fn policy(bencher: Bencher<'_, '_>, remembered: bool) {
    let layout = layout("CRS610MI", "GetBasicData");
    let known = layout.clone();
    let layouts = move |program, name| (program == known.program && name == known.name).then(|| known.clone());
    let set = Set::load(&Files::embedded().cedar, &Site::of(ISSUER), &layouts).expect("the shipped rules");
    let asked = read(TAIL, Some("CUNO=C00001")).expect("a request");
    let place = Place { company: Company::new(100).expect("a company"), division: Division::BLANK };
    let inputs = placed(asked.typed(&layout).expect("typed inputs"), &layout, place);
    let client = ClientId { issuer: ISSUER.into(), id: CLIENT.into() };
    let user = M3User::parse("MIDEMO").expect("a user");
    let groups = ["demo".into()];
    let (mut place, mut company) = (place, 100);
    bencher.bench_local(|| {
        if !remembered {
            // Another company, which every rule of the demo client reads: none of them has been decided before.
            company += 1;
            place.company = Company::new(company).expect("fewer samples than companies");
        }
        let ask = Ask {
            asker: Asker { client: &client, groups: &groups, scopes: &[], claims: &[] },
            program: layout.program,
            transaction: layout.name,
            effect: Effect::Read,
            place,
            m3_user: &user,
            layout: &layout,
            inputs: &inputs,
            record: None,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            unix_seconds: NOW,
        };
        let decision = set.decide(black_box(&ask));
        assert_eq!(decision.allowed, remembered, "company 100 and no other");
    });
}

#[divan::bench]
fn access_line(bencher: Bencher<'_, '_>) {
    let log = AccessLog::to(std::io::sink(), &Metrics::new()).expect("a log");
    let peer = Peer::of(SocketAddr::from(([127, 0, 0, 1], 1)));
    bencher.bench_local(|| {
        let mut line = AccessLine::new(RequestId::new(), "GET", "h2", peer);
        line.user_agent(b"a client of the bench/1.0");
        log.write(line);
    });
}

/// One decision into the audit log: a read goes on at once, a write waits until its line is on the disk.
#[divan::bench(args = ["read", "write"])]
fn audited(bencher: Bencher<'_, '_>, what: &str) {
    let state = tempfile::tempdir().expect("a folder");
    let settings = audit::Settings::under(state.path().join("audit"), state.path().join("audit.key"));
    let log = audit::Log::start(settings, &Metrics::new()).expect("a log");
    let client = ClientId { issuer: ISSUER.into(), id: CLIENT.into() };
    let user = M3User::parse("MIDEMO").expect("a user");
    let program = ProgramName::parse("CRS610MI").expect("a program");
    let transaction = TransactionName::parse("GetBasicData").expect("a transaction");
    let rules = ["demo-reads".into()];
    let wait = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    bencher.bench_local(|| {
        let mut ticket = log.record(&audit::Decision {
            call: "0192e5a0-0000-7000-8000-000000000000",
            set: "0123456789abcdef0123456789abcdef",
            client: &client,
            tenant: None,
            groups: &[],
            scopes: &[],
            claims: &[],
            user: Some(&user),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            name: Some((program, transaction)),
            effect: Some(if what == "read" { Effect::Read } else { Effect::Write }),
            place: Some(Place { company: Company::new(100).expect("a company"), division: Division::BLANK }),
            inputs: None,
            record: None,
            step: audit::Step::Values,
            allowed: true,
            reason: "allowed",
            rules: &rules,
            micros: 20,
        });
        wait.block_on(ticket.kept()).expect("kept");
        ticket.ended(audit::Outcome::Done);
    });
}

/// The limits of one call, its door and its charge: of clients' rates alone, or every kind that there is, in one bucket of
/// each.
#[divan::bench(args = ["rates of clients", "every kind"])]
fn limits(bencher: Bencher<'_, '_>, what: &str) {
    let mut text = "[default]\nrate = \"1000000/second\"\nburst = 1000000\n".to_owned();
    if what == "every kind" {
        for table in [
            "[[program]]\nprogram = \"CRS610MI\"\nrate = \"1000000/second\"\nburst = 1000000\n",
            "[[transaction]]\nprogram = \"CRS610MI\"\ntransaction = \"GetBasicData\"\nrate = \"1000000/second\"\nburst = 1000000\n",
            "[[effect]]\neffect = \"read\"\nrate = \"1000000/second\"\nburst = 1000000\n",
            "[[quota]]\nper = \"day\"\nunits = 1000000000\n[[quota]]\nper = \"month\"\nunits = 1000000000\n",
            "[[concurrent]]\ncalls = 100\n[[cost]]\nprogram = \"CRS610MI\"\nunits = 2\n",
        ] {
            text.push_str(table);
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let limits = Limits::new(Plan::parse("limits.toml", &text, ISSUER).expect("limits"));
    let client = ClientId { issuer: ISSUER.into(), id: CLIENT.into() };
    let caller = Caller { client: &client, groups: &[] };
    let program = ProgramName::parse("CRS610MI").expect("a program");
    let transaction = TransactionName::parse("GetBasicData").expect("a transaction");
    let charge = Charge { caller, program, transaction, effect: Effect::Read, all: false };
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        runtime.block_on(async {
            let door = limits.door(caller, NOW).await.expect("counted");
            let charged = limits.charge(&charge, NOW).await.expect("counted");
            black_box((door, charged))
        })
    });
}

fn main() {
    println!(
        "targets: token_known, a validation that is remembered, at most 1 µs; an evaluation over 5,000 rules at most 30 µs"
    );
    divan::main();
}
