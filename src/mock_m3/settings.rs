//! Who may log on to the mock, and which kind of M3 it plays.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The gateway's own user in the development world.
pub const GATEWAY_USER: &str = "MIGATE";
pub const DEMO_USER: &str = "MIDEMO";
pub const READER_USER: &str = "MIREAD";

#[derive(Debug, Clone)]
pub struct Settings {
    pub listen: SocketAddr,
    /// Where m3api-rest is served; `None`: nowhere.
    pub rest: Option<SocketAddr>,
    pub users: Vec<User>,
    pub profile: Profile,
    /// Records of the list that is made for streaming; 0: as many as there are.
    pub big_list: usize,
    /// Keeps what was changed over a restart.
    pub journal: Option<PathBuf>,
}

#[derive(Clone)]
pub struct User {
    pub name: String,
    pub password: String,
    pub company: u16,
    pub division: String,
    pub language: String,
    pub decimal_comma: bool,
    pub date_form: String,
    /// Empty: all.
    pub allowed_companies: Vec<u16>,
    /// May log on, and may do nothing.
    pub denied: bool,
    /// May log on to these, and may do nothing there.
    pub denied_programs: Vec<String>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "User({} in {}/{})", self.name, self.company, self.division)
    }
}

/// What kind of server answers a logon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplyMode {
    /// Java M3: another port, a port id, then UCS-2.
    #[default]
    Reroute,
    /// Java M3 behind a proxy: UCS-2 at once.
    NgConOk,
    /// RPG, single-byte.
    Plain,
    /// RPG, text in UCS-2.
    Ucs2,
    /// Windows, single-byte.
    Win,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    pub reply_mode: ReplyMode,
    /// Company and division of the logon are taken; else the user's own always hold.
    pub honours_place: bool,
    /// Replies end after their last non-blank column.
    pub cut_replies: bool,
    pub numbers_right: bool,
    pub trailing_minus: bool,
    /// m3api-rest wants a CSRF token of its own with every call.
    pub csrf: bool,
    /// No list has more records than this, whatever SetLstMaxRec says.
    pub ceiling: Option<u32>,
    /// A list ends where SetLstMaxRec says; else it goes on to its end.
    pub heeds_most: bool,
    /// A session falls silent after this long: neither answered nor closed, as behind a firewall that forgot it.
    pub session_life: Option<Duration>,
    /// Every call takes between so many and so many milliseconds, a logon the second.
    pub latency_ms: (u64, u64),
    pub logon_ms: u64,
}

impl Profile {
    /// What an ordinary site is like, and no mock by itself: replies cut, numbers to the right with the minus behind,
    /// calls that take 20 to 300 ms, a logon that takes half a second.
    pub fn site() -> Self {
        Self {
            cut_replies: true,
            numbers_right: true,
            trailing_minus: true,
            latency_ms: (20, 300),
            logon_ms: 500,
            ..Self::default()
        }
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            reply_mode: ReplyMode::Reroute,
            honours_place: true,
            cut_replies: false,
            numbers_right: false,
            trailing_minus: false,
            csrf: false,
            ceiling: None,
            heeds_most: true,
            session_life: None,
            latency_ms: (0, 0),
            logon_ms: 0,
        }
    }
}

impl User {
    pub(super) fn may_work_in(&self, company: u16) -> bool {
        self.allowed_companies.is_empty() || self.allowed_companies.contains(&company)
    }

    fn new(name: &str, company: u16, division: &str) -> Self {
        Self {
            name: name.to_owned(),
            // Passwords of a world that holds nothing: good for the mock alone.
            password: format!("{}-dev", name.to_ascii_lowercase()),
            company,
            division: division.to_owned(),
            language: "GB".to_owned(),
            decimal_comma: false,
            date_form: "YMD".to_owned(),
            allowed_companies: Vec::new(),
            denied: false,
            denied_programs: Vec::new(),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let plain = |name| User::new(name, 100, "AAA");
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            rest: None,
            users: vec![
                plain(GATEWAY_USER),
                plain(DEMO_USER),
                plain(READER_USER),
                User { decimal_comma: true, ..plain("MICOMMA") },
                User { date_form: "MDY".to_owned(), ..plain("MIMDY") },
                User { allowed_companies: vec![100], ..plain("MI100") },
                User { denied: true, ..plain("MINOAUT") },
                User::new("MI200", 200, "CCC"),
            ],
            profile: Profile::default(),
            big_list: 0,
            journal: None,
        }
    }
}
