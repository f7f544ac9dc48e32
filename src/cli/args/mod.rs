//! The words of the command line.

mod bod;
mod limits;
mod outbox;
mod policy;

pub(super) use bod::{Bod, BodPreview};
pub(super) use limits::Limits;
pub(super) use outbox::{Outbox, OutboxOrder, OutboxOutcome};
pub(super) use policy::{
    Policy, PolicyBundle, PolicyCheck, PolicyDiff, PolicyExplain, PolicyReplay, PolicyRollback, PolicySign,
    PolicyVerify, PolicyWhoCan,
};

pub(super) use super::stop_args::{Block, Lift, Revoke, TokenThen};
use super::stops::this_user;
use crate::model::ProgramName;
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

/// OAuth2 API gateway in front of Infor M3.
///
/// Without a command it serves. Without a settings file it serves on embedded defaults: the public door on
/// https://localhost:8443, the operations door on http://127.0.0.1:9090, a mock M3 of its own, and state in
/// .mi-gateway/. Every key of the settings can also be given in the environment: edge.listen is
/// MI_GATEWAY__EDGE__LISTEN.
#[derive(Debug, Parser)]
#[command(name = "mi-gateway", version, about, propagate_version = true, max_term_width = 100)]
pub(super) struct Arguments {
    /// The settings file (TOML). Without it: gateway.toml here, where there is one, else the embedded defaults.
    #[arg(long, short, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve until SIGTERM or SIGINT, then finish what is in flight and end with 0.
    Serve(Serve),
    /// Read settings, policies and certificates, report every fault with its place and a hint, and start nothing.
    Check(Check),
    /// Manage the clients of the embedded token issuer and write their .ionapi files.
    #[command(subcommand)]
    Client(Client),
    /// Manage the keys that the embedded issuer signs tokens with.
    #[command(subcommand)]
    Keys(Keys),
    /// Learn what M3 has, so that rules and mappings over programs that nobody has called yet can be checked.
    #[command(subcommand)]
    Catalog(Catalog),
    /// Ask what the policy rules decide, and why; test them, compare two sets, list who may do what.
    #[command(subcommand)]
    Policy(Policy),
    /// Check that the audit log is whole, and look decisions up in it.
    #[command(subcommand)]
    Audit(Audit),
    /// See the business documents (BODs) that records of M3 become, check documents, and see which writes have one.
    #[command(subcommand)]
    Bod(Bod),
    /// See which documents are on their way and which writes are unsettled; send again, park, settle.
    #[command(subcommand)]
    Outbox(Outbox),
    /// See what clients have used of their limits, and set quotas back.
    #[command(subcommand)]
    Limits(Limits),
    /// Get a token with an .ionapi file and print it; or take tokens back.
    Token(Token),
    /// Stop a client or a program at once, whatever its tokens and the rules say; list blocks, lift them.
    #[command(subcommand)]
    Block(Block),
    /// Run the mock M3 alone: a server of the MI socket protocol with seeded data.
    Mock(Mock),
    /// Make or show the development certificates.
    Certs(Certs),
}

#[derive(Debug, Default, Args)]
pub(super) struct Serve {
    /// Allow the demo client, the mock M3 and the development certificate on an address that others can reach.
    #[arg(long)]
    pub(super) development: bool,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Also ask M3 whether it answers and as whom, what the guard user may read, and where users of clients may work.
    #[arg(long)]
    pub(super) probe: bool,
    /// What could not be verified is a fault, too.
    #[arg(long)]
    pub(super) strict: bool,
    /// Faults as JSON, one object a line.
    #[arg(long)]
    pub(super) json: bool,
}

/// Who stands in the audit log.
#[derive(Debug, Args)]
pub(super) struct By {
    /// Who orders it; without it this user's number.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl By {
    pub(super) fn name(&self) -> String {
        self.by.clone().unwrap_or_else(this_user)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Catalog {
    /// Fetch the layouts of programs from M3 and keep them. A running gateway is asked to; without one it is done here.
    /// Ends with 1 when M3 lists something and does not describe it.
    Pull {
        /// MI programs, like CRS610MI; without any all that M3 lists, which takes minutes.
        #[arg(value_name = "PROGRAM")]
        #[arg(value_parser = |text: &str| ProgramName::parse(text).map_err(|error| error.to_string()))]
        programs: Vec<ProgramName>,
        /// One JSON object a program.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Client {
    /// Register a client and write its credentials. They are shown nowhere else, and never again.
    Add(Box<ClientAdd>),
    /// List the clients.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// End a client: no new tokens, and its live ones stop working within a second.
    Revoke {
        /// Name or client id.
        client: String,
        #[command(flatten)]
        by: By,
    },
    /// Give a client new secrets, or register another key or certificate for it. Live tokens stay good; the old secrets,
    /// key or certificate don't.
    Rotate {
        /// Name or client id.
        client: String,
        /// Where the .ionapi file with new secrets goes.
        #[arg(long, value_name = "FILE", required_unless_present_any = ["jwks", "subject", "dns", "certificate"])]
        out: Option<PathBuf>,
        #[command(flatten)]
        shows: ClientShows,
        #[command(flatten)]
        by: By,
    },
}

/// What a client without a secret proves itself by.
#[derive(Debug, Args)]
pub(super) struct ClientShows {
    /// private_key_jwt: its public keys, a JWK, a JWKS, or one key or certificate in PEM.
    #[arg(long, value_name = "FILE", group = "shows")]
    pub(super) jwks: Option<PathBuf>,
    /// tls_client_auth: the subject of its certificate as RFC 4514 writes it, like CN=web-shop,O=Acme
    /// (openssl x509 -noout -subject -nameopt RFC2253).
    #[arg(long, value_name = "DN", group = "shows")]
    pub(super) subject: Option<String>,
    /// tls_client_auth: a DNS name among the alternative names of its certificate.
    #[arg(long, value_name = "NAME", group = "shows")]
    pub(super) dns: Option<String>,
    /// self_signed_tls_client_auth: its certificate, PEM.
    #[arg(long, value_name = "FILE", group = "shows")]
    pub(super) certificate: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ClientAdd {
    /// What people call it.
    pub(super) name: String,
    #[command(flatten)]
    pub(super) by: By,
    /// A scope that its tokens may carry; may be given more than once.
    #[arg(long, value_name = "SCOPE")]
    pub(super) scope: Vec<String>,
    /// A group that policy rules speak of; may be given more than once.
    #[arg(long, value_name = "GROUP")]
    pub(super) group: Vec<String>,
    /// Where the .ionapi file goes (mode 0600).
    #[arg(long, value_name = "FILE")]
    pub(super) out: PathBuf,
    /// The tenant of the client's paths and tokens.
    #[arg(long, default_value = "DEMO_TST")]
    pub(super) tenant: String,
    /// The user that M3 sees. Without it the settings' m3.group_users decide by the client's groups.
    #[arg(long, value_name = "USER")]
    pub(super) m3_user: Option<String>,
    /// The company a call runs in when it names none.
    #[arg(long, value_name = "CONO")]
    pub(super) company: Option<String>,
    /// The division a call runs in when it names none.
    #[arg(long, value_name = "DIVI")]
    pub(super) division: Option<String>,
    /// The language of its calls that name none, where M3 is reached over m3api-rest.
    #[arg(long, value_name = "LANC")]
    pub(super) language: Option<String>,
    /// A company that its calls may run in and reach; may be given more than once. Without it the rules alone decide.
    #[arg(long, value_name = "CONO")]
    pub(super) may_company: Vec<String>,
    /// A division that its calls may run in and reach, or `company`: the company as a whole, and what says no division
    /// (items, customers, an order by its number); may be given more than once.
    #[arg(long, value_name = "DIVI")]
    pub(super) may_division: Vec<String>,
    /// Another M3 user that the option m3user may name; may be given more than once.
    #[arg(long, value_name = "USER")]
    pub(super) run_as: Vec<String>,
    /// A write by GET that comes again with the same `_rid` within ten minutes is not done again: for clients that make a
    /// `_rid` anew for each call, and balancers and browsers that repeat a GET.
    #[arg(long)]
    pub(super) rid_is_key: bool,
    /// Give it tokens that are bound to a key of its own (DPoP, RFC 9449), and no others.
    #[arg(long)]
    pub(super) dpop: bool,
    /// How it proves itself to the token endpoint, in this way and no other.
    #[arg(long, value_name = "METHOD", default_value = "client_secret", value_parser = ["client_secret", "private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"])]
    pub(super) auth: String,
    #[command(flatten)]
    pub(super) shows: ClientShows,
    /// Bind its tokens to the certificate of the connection that they are asked for on: nobody else can use them.
    #[arg(long)]
    pub(super) bound: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Find any line that was removed, changed, put in or moved. Ends with 1 when the log is not whole.
    Verify {
        /// The folder of the log; without it the one of the settings.
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
        /// The public key, as `audit head` shows it; without it the gateway's own.
        #[arg(long, value_name = "HEX")]
        key: Option<String>,
        /// A head that was kept elsewhere: shows that the end was cut off, and the head beside the log with it.
        #[arg(long, value_name = "FILE")]
        head: Option<PathBuf>,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print decisions, one JSON object a line as it stands in the log, and behind a write what became of it. Ends with
    /// 1 when there is none.
    Find(AuditFind),
    /// Remove the oldest files of the log, of a running gateway too, and leave a signed record of what went: `verify` still
    /// proves that the rest is whole and that nothing else is missing. Without this, and without audit.keep_days and
    /// audit.keep_mib in the settings, nothing is ever removed.
    Prune {
        /// Remove files whose newest line is older; without both bounds those of the settings hold.
        #[arg(long, value_name = "DAYS")]
        keep_days: Option<u64>,
        /// Remove the oldest files while all together are larger.
        #[arg(long, value_name = "MIB")]
        keep_mib: Option<u64>,
        /// Who wants it, for the record.
        #[arg(long)]
        by: Option<String>,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Say that somebody has looked into lines that are gone, which the log tells since it was taken up again: `verify` and
    /// readiness complain no more, and a signed line keeps who said so, and why.
    Acknowledge {
        /// What came of looking into it.
        #[arg(long)]
        reason: String,
        /// Who says so, for the record.
        #[arg(long)]
        by: Option<String>,
    },
    /// Print the newest signature and the public key, to keep where nobody who can write the log can reach it.
    Head,
}

#[derive(Debug, Args)]
pub(super) struct AuditFind {
    /// The folder of the log; without it the one of the settings.
    #[arg(long, value_name = "FOLDER")]
    pub(super) dir: Option<PathBuf>,
    /// The id that an answer gave as mi-decision or decision_id.
    #[arg(long, value_name = "ID")]
    pub(super) decision: Option<String>,
    /// A request's id: all transactions of a bulk call.
    #[arg(long, value_name = "ID")]
    pub(super) request: Option<String>,
    /// A client id.
    #[arg(long)]
    pub(super) client: Option<String>,
    /// PROGRAM or PROGRAM/Transaction.
    #[arg(long, value_name = "PROGRAM[/TRANSACTION]")]
    pub(super) call: Option<String>,
    /// A field and its value, like ITNO=A1: who changed this item?
    #[arg(long, value_name = "FIELD=VALUE")]
    pub(super) key: Option<String>,
    /// allow or deny.
    #[arg(long)]
    pub(super) verdict: Option<String>,
    /// From this moment on (RFC 3339, UTC).
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// List the keys, the signing one first.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Sign new tokens with a new key. The old key stays published until its last token has expired.
    Rotate {
        #[command(flatten)]
        by: By,
    },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Token {
    #[command(subcommand)]
    pub(super) then: Option<TokenThen>,
    /// The .ionapi file of the client.
    #[arg(value_name = "IONAPI", default_value = ".mi-gateway/clients/demo.ionapi")]
    pub(super) ionapi: PathBuf,
    /// The authority to trust; without it the development one, where there is one, else the system's.
    #[arg(long, value_name = "PEM")]
    pub(super) cacert: Option<PathBuf>,
    /// The private key of a client that proves itself by one (private_key_jwt), PEM.
    #[arg(long, value_name = "PEM")]
    pub(super) key: Option<PathBuf>,
    /// The certificate to show on the connection, PEM: for a client that proves itself by it, or whose tokens it binds.
    #[arg(long, value_name = "PEM")]
    pub(super) cert: Option<PathBuf>,
    /// The key of that certificate; without it in the same file.
    #[arg(long, value_name = "PEM", requires = "cert")]
    pub(super) cert_key: Option<PathBuf>,
    /// Bind the token to this private key (DPoP), PEM; one that is not there yet is made. Each call then needs a proof.
    #[arg(long, value_name = "PEM")]
    pub(super) dpop_key: Option<PathBuf>,
    /// Print the two headers of a call of this URL, token and proof, instead of the token: good once, for a minute.
    #[arg(long, value_name = "URL", requires = "dpop_key", conflicts_with = "json")]
    pub(super) proof: Option<String>,
    /// The call's method.
    #[arg(long, requires = "proof", default_value = "GET")]
    pub(super) method: String,
    /// The whole answer as JSON, not the token alone.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Mock {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:26800")]
    pub(super) listen: SocketAddr,
    /// Serve m3api-rest here as well; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) rest: Option<SocketAddr>,
    /// A file that keeps what was changed, so that it survives a restart.
    #[arg(long, value_name = "FILE")]
    pub(super) journal: Option<PathBuf>,
    /// Make the list of MMS060MI/LstBalID this long, to try streaming out.
    #[arg(long, value_name = "RECORDS", default_value_t = 0)]
    pub(super) big_list: usize,
}

#[derive(Debug, Args)]
pub(super) struct Certs {
    /// Where they are kept.
    #[arg(long, value_name = "FOLDER", default_value = "certs/dev")]
    pub(super) dir: PathBuf,
}
