//! The logon as the server sees it: 149 bytes of text, a mask, and who may come in.

use super::settings::{ReplyMode, User};
use std::collections::HashMap;

/// What PWLOG asks for.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) place: String,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) program: String,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("user", &self.user).field("program", &self.program).finish_non_exhaustive()
    }
}

/// One session's user and place.
#[derive(Debug, Clone)]
pub(super) struct Admitted {
    pub(super) user: User,
    pub(super) company: u16,
    pub(super) division: String,
    pub(super) program: String,
}

impl Asked {
    /// PWLOG with a masked password, or LOGON with a clear one. Anything else is no logon that Java M3 knows.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        if payload.len() < 101 || payload.len() > 160 {
            return None;
        }
        let masked = match &payload[..5] {
            b"PWLOG" => true,
            b"LOGON" => false,
            _ => return None,
        };
        let text = |from: usize, width: usize| {
            let end = (from + width).min(payload.len());
            String::from_utf8_lossy(&payload[from..end]).trim_end_matches([' ', '\0']).to_owned()
        };
        let mut password = payload[53..69].to_vec();
        if masked {
            for (at, byte) in password.iter_mut().take(10).enumerate() {
                let digit = b'0' + at as u8;
                if *byte != digit {
                    *byte ^= digit;
                }
            }
        }
        let password = String::from_utf8_lossy(&password).trim_end_matches([' ', '\0']).to_owned();
        let program = text(69, 32);
        let program = program.rsplit('/').next().unwrap_or_default().to_owned();
        Some(Self { place: text(5, 32), user: text(37, 16), password, program })
    }
}

/// The users, and how often each was refused in a row.
#[derive(Debug)]
pub(super) struct Gatekeeper {
    users: Vec<User>,
    refused: HashMap<String, u32>,
    honours_place: bool,
}

/// After so many wrong passwords in a row a user is locked.
const LOCKED_AFTER: u32 = 3;

impl Gatekeeper {
    pub(super) fn new(users: Vec<User>, honours_place: bool) -> Self {
        Self { users, refused: HashMap::new(), honours_place }
    }

    pub(super) fn admit(&mut self, asked: &Asked) -> Result<Admitted, String> {
        let Some(user) = self.users.iter().find(|user| user.name == asked.user) else {
            return Err("User or password is not valid".to_owned());
        };
        let refused = self.refused.entry(user.name.clone()).or_default();
        if *refused >= LOCKED_AFTER {
            return Err(format!("User {} is locked", user.name));
        }
        if user.password != asked.password {
            *refused += 1;
            return Err("User or password is not valid".to_owned());
        }
        *refused = 0;
        self.enter(asked)
    }

    /// A user who is known already: by his password, or by a token of his.
    pub(super) fn enter(&self, asked: &Asked) -> Result<Admitted, String> {
        let Some(user) = self.users.iter().find(|user| user.name == asked.user) else {
            return Err(format!("User {} is not known", asked.user));
        };
        let (company, division) = match self.place(asked) {
            Some(place) => place,
            None => (user.company, user.division.clone()),
        };
        if !user.may_work_in(company) {
            return Err(format!("XAU0008 User {} is not authorised for company {company}", user.name));
        }
        Ok(Admitted { user: user.clone(), company, division, program: asked.program.clone() })
    }

    /// CONO immediately followed by DIVI; blank or a system's name is the user's own place.
    fn place(&self, asked: &Asked) -> Option<(u16, String)> {
        if !self.honours_place {
            return None;
        }
        let digits = asked.place.get(..3)?;
        let company = digits.trim().parse().ok()?;
        Some((company, asked.place.get(3..6.min(asked.place.len())).unwrap_or_default().trim().to_owned()))
    }

    pub(super) fn unlock(&mut self, user: &str) {
        self.refused.remove(user);
    }

    pub(super) fn change_password(&mut self, name: &str, password: &str) {
        if let Some(user) = self.users.iter_mut().find(|user| user.name == name) {
            password.clone_into(&mut user.password);
        }
    }
}

/// The text that answers a logon which stays on its connection.
pub(super) fn welcome(mode: ReplyMode) -> &'static str {
    match mode {
        ReplyMode::Reroute => "",
        ReplyMode::NgConOk => "NGCONOK",
        ReplyMode::Plain => "Connection accepted",
        ReplyMode::Ucs2 => "UCS2 ",
        ReplyMode::Win => "WIN",
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::*;

    fn asked(password: &str) -> Asked {
        Asked { place: "200".into(), user: "MIDEMO".into(), password: password.into(), program: "CRS610MI".into() }
    }

    #[test]
    fn a_masked_password_is_read() {
        let mut payload = b"PWLOG100AAA                          MIDEMO          ".to_vec();
        payload.extend_from_slice(b"\x51\x01\x03\x01\x07\x01\x03\x01\x0f\x019bcdef");
        payload.extend_from_slice(format!("{:<32}{:<32}{:<16}", "MVX/CRS610MI", "test", "127.0.0.1").as_bytes());
        let asked = Asked::parse(&payload).expect("149 bytes of the protocol");
        assert_eq!((asked.user.as_str(), asked.password.as_str()), ("MIDEMO", "a0123456789bcdef"));
        assert_eq!((asked.place.as_str(), asked.program.as_str()), ("100AAA", "CRS610MI"));
        assert_eq!(Asked::parse(b"CRLOG"), None);
    }

    #[test]
    fn three_wrong_passwords_lock_a_user() {
        let mut gatekeeper = Gatekeeper::new(Settings::default().users, true);
        for _ in 0..3 {
            assert!(gatekeeper.admit(&asked("wrong")).is_err());
        }
        assert!(gatekeeper.admit(&asked("midemo-dev")).is_err_and(|text| text.contains("locked")));
        gatekeeper.unlock("MIDEMO");
        assert!(gatekeeper.admit(&asked("midemo-dev")).is_ok_and(|admitted| admitted.company == 200));
    }
}
