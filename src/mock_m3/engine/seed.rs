//! The seeded world: the same at every start, with names that a person can tell apart.

use super::Row;
use super::store::Store;
use super::table::Kind;

/// A small generator of its own: the same numbers on every machine and in every release.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.roll(words.len())]
    }

    fn date(&mut self) -> String {
        format!("202{}{:02}{:02}", 3 + self.roll(3), 1 + self.roll(12), 1 + self.roll(28))
    }
}

const FIRST: &[&str] =
    &["Björk", "Nordic", "Åkeri", "Müller", "Delta", "Côte", "Alpine", "Hansa", "Skåne", "Orion", "Fjord", "Zürich"];
const SECOND: &[&str] =
    &["Handel", "Industri", "Logistik", "Maskin", "Trading", "Textil", "Stål", "Papier", "Food", "Möbel"];
const LEGAL: &[&str] = &["AB", "GmbH", "Ltd", "A/S", "Oy", "SA", "Inc"];
const TOWNS: &[(&str, &str, &str)] = &[
    ("Göteborg", "41101", "SE"),
    ("Malmö", "21120", "SE"),
    ("Köln", "50667", "DE"),
    ("Lyon", "69001", "FR"),
    ("Århus", "8000", "DK"),
    ("Tampere", "33100", "FI"),
    ("Zürich", "8001", "CH"),
    ("Leeds", "LS1", "GB"),
];
const GOODS: &[&str] =
    &["Bolt", "Nut", "Washer", "Bearing", "Valve", "Pump", "Filter", "Gasket", "Motor", "Cable", "Öljett", "Hülse"];
const SIZES: &[&str] = &["M4", "M6", "M8", "M10", "25 mm", "40 mm", "1/2\"", "DN50", "small", "large"];
const CURRENCIES: &[&str] = &["SEK", "EUR", "DKK", "USD"];

fn row(company: u16, division: &str, dice: &mut Dice, values: &[(&str, String)]) -> Row {
    let date = dice.date();
    let mut row: Row = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    for (name, value) in [
        ("CONO", company.to_string()),
        ("DIVI", division.to_owned()),
        ("RGDT", date.clone()),
        ("RGTM", "80000".to_owned()),
        ("LMDT", date),
        ("CHNO", (1 + dice.roll(9)).to_string()),
        ("CHID", "MVXSECOFR".to_owned()),
    ] {
        row.entry(name.to_owned()).or_insert(value);
    }
    row
}

/// The companies there are.
pub(super) const COMPANIES: [u16; 2] = [100, 200];

pub(super) fn fill(store: &Store) {
    // What the sizes of the two companies are; the smaller one shares keys with the larger and nothing else.
    for (company, divisions, customers, items, suppliers, purchases, orders) in
        [(100, ["AAA", "BBB"], 250, 500, 60, 120, 220), (200, ["CCC", "CCC"], 40, 60, 10, 12, 15)]
    {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ u64::from(company));
        parties(store, company, divisions[0], customers, suppliers, &mut dice);
        goods(store, company, divisions[0], items, &mut dice);
        sales(store, company, divisions[0], orders, customers, items, &mut dice);
        purchases_of(store, company, divisions[0], purchases, suppliers, items, &mut dice);
        ledger(store, company, &mut dice);
        places(store, company, &divisions, &mut dice);
    }
}

fn parties(store: &Store, company: u16, division: &str, customers: usize, suppliers: usize, dice: &mut Dice) {
    for number in 1..=customers + suppliers {
        let name = format!("{} {} {}", dice.pick(FIRST), dice.pick(SECOND), dice.pick(LEGAL));
        let (town, post, country) = TOWNS[dice.roll(TOWNS.len())];
        let street = format!("{}gatan {}", dice.pick(SECOND), 1 + dice.roll(120));
        let phone = format!("+46 31 {:06}", dice.roll(1_000_000));
        let mut values = vec![
            ("STAT", "20".to_owned()),
            ("CUA1", street.clone()),
            ("CUA2", format!("{post} {town}")),
            ("ADR1", street),
            ("ADR2", format!("{post} {town}")),
            ("PONO", post.to_owned()),
            ("TOWN", town.to_owned()),
            ("CSCD", country.to_owned()),
            ("LNCD", "GB".to_owned()),
            ("CUCD", dice.pick(CURRENCIES).to_owned()),
            ("PHNO", phone),
            ("TEPY", "30".to_owned()),
            ("PWMT", format!("{:04}", dice.roll(10_000))),
        ];
        if number <= customers {
            let code = format!("C{number:05}");
            values.extend([
                ("CUNO", code.clone()),
                ("CUNM", name),
                ("ALCU", code.clone()),
                ("CUTP", "0".to_owned()),
                ("CUCL", format!("G{:02}", 1 + dice.roll(6))),
                ("CRLM", format!("{}.00", 1_000 * (1 + dice.roll(90)))),
                ("ORTP", "A01".to_owned()),
            ]);
            store.seed(Kind::Customer, company, row(company, division, dice, &values));
            if number % 5 == 0 {
                values.extend([("ADRT", "1".to_owned()), ("ADID", "WH1".to_owned())]);
                store.seed(Kind::CustomerAddress, company, row(company, division, dice, &values));
            }
        } else {
            let code = format!("S{:05}", number - customers);
            values.extend([("SUNO", code.clone()), ("SUNM", name), ("ALSU", code), ("SUTY", "0".to_owned())]);
            store.seed(Kind::Supplier, company, row(company, division, dice, &values));
        }
    }
}

fn goods(store: &Store, company: u16, division: &str, items: usize, dice: &mut Dice) {
    for number in 1..=items {
        let code = format!("A{number:05}");
        let name = format!("{} {}", dice.pick(GOODS), dice.pick(SIZES));
        let item = vec![
            ("ITNO", code.clone()),
            ("ITDS", name.clone()),
            ("FUDS", format!("{name}, of company {company}, for everyday use in the workshop")),
            ("STAT", "20".to_owned()),
            ("UNMS", "PCS".to_owned()),
            ("ITTY", "001".to_owned()),
            ("ITGR", format!("GR{:02}", 1 + dice.roll(8))),
            ("ITCL", format!("CL{}", 1 + dice.roll(5))),
            ("RESP", "MIDEMO".to_owned()),
            ("SAPR", format!("{}.{:02}", 1 + dice.roll(900), dice.roll(100))),
            ("NEWE", format!("{}.250", dice.roll(40))),
            ("SUNO", "S00001".to_owned()),
        ];
        store.seed(Kind::Item, company, row(company, division, dice, &item));
        for warehouse in ["001", "002", "003"] {
            let quantity = dice.roll(2_000).to_string();
            let place = format!("{:02}-{:03}", dice.roll(20), dice.roll(400));
            let mut values = item.clone();
            values.extend([
                ("WHLO", warehouse.to_owned()),
                ("WHNM", format!("Warehouse {warehouse}")),
                ("FACI", if warehouse == "003" { "B01" } else { "A01" }.to_owned()),
                ("WHSL", place),
                ("STQT", quantity.clone()),
                ("STQ1", quantity.clone()),
                ("AVAL", quantity),
            ]);
            store.seed(Kind::ItemWarehouse, company, row(company, division, dice, &values));
            store.seed(Kind::Balance, company, row(company, division, dice, &values));
        }
        for facility in ["A01", "B01"] {
            let mut values = item.clone();
            values.extend([("FACI", facility.to_owned()), ("FACN", format!("Facility {facility}"))]);
            store.seed(Kind::ItemFacility, company, row(company, division, dice, &values));
        }
    }
}

fn sales(store: &Store, company: u16, division: &str, orders: usize, customers: usize, items: usize, dice: &mut Dice) {
    for number in 1..=orders {
        let order = (1_000_000 + number).to_string();
        let customer = format!("C{:05}", 1 + dice.roll(customers));
        let (ordered, wanted) = (dice.date(), dice.date());
        let head = [
            ("ORNO", order.clone()),
            ("CUNO", customer.clone()),
            ("ORTP", "A01".to_owned()),
            ("ORDT", ordered.clone()),
            ("RLDT", wanted.clone()),
            ("STAT", "20".to_owned()),
            ("ORSL", "22".to_owned()),
            ("ORST", "22".to_owned()),
            ("FACI", "A01".to_owned()),
            ("WHLO", "001".to_owned()),
            ("CUOR", format!("PO-{}", dice.roll(100_000))),
            ("CUCD", dice.pick(CURRENCIES).to_owned()),
        ];
        store.seed(Kind::OrderHead, company, row(company, division, dice, &head));
        for line in 1..=1 + dice.roll(5) {
            let values = [
                ("ORNO", order.clone()),
                ("PONR", line.to_string()),
                ("POSX", "0".to_owned()),
                ("CUNO", customer.clone()),
                ("ITNO", format!("A{:05}", 1 + dice.roll(items))),
                ("ITDS", format!("{} {}", dice.pick(GOODS), dice.pick(SIZES))),
                ("ORQT", (1 + dice.roll(50)).to_string()),
                ("ORQA", (1 + dice.roll(50)).to_string()),
                ("ORST", "22".to_owned()),
                ("WHLO", "001".to_owned()),
                ("DWDT", wanted.clone()),
                ("SAPR", format!("{}.{:02}", 1 + dice.roll(900), dice.roll(100))),
            ];
            store.seed(Kind::OrderLine, company, row(company, division, dice, &values));
        }
    }
}

fn purchases_of(
    store: &Store,
    company: u16,
    division: &str,
    orders: usize,
    suppliers: usize,
    items: usize,
    dice: &mut Dice,
) {
    for number in 1..=orders {
        let order = (2_000_000 + number).to_string();
        let supplier = format!("S{:05}", 1 + dice.roll(suppliers));
        let wanted = dice.date();
        // Every third one waits for its approval.
        let status = if number % 3 == 0 { "15" } else { "20" };
        let head = [
            ("PUNO", order.clone()),
            ("SUNO", supplier.clone()),
            ("PUDT", dice.date()),
            ("DWDT", wanted.clone()),
            ("PUSL", status.to_owned()),
            ("PUST", status.to_owned()),
            ("FACI", "A01".to_owned()),
            ("WHLO", "001".to_owned()),
            ("CUCD", dice.pick(CURRENCIES).to_owned()),
            ("NTAM", format!("{}.{:02}", 100 + dice.roll(40_000), dice.roll(100))),
            ("ORTY", "A00".to_owned()),
        ];
        store.seed(Kind::PurchaseHead, company, row(company, division, dice, &head));
        for line in 1..=1 + dice.roll(4) {
            let values = [
                ("PUNO", order.clone()),
                ("PNLI", line.to_string()),
                ("PNLS", "0".to_owned()),
                ("SUNO", supplier.clone()),
                ("ITNO", format!("A{:05}", 1 + dice.roll(items))),
                ("PITD", format!("{} as the supplier calls it", dice.pick(GOODS))),
                ("ORQA", (1 + dice.roll(80)).to_string()),
                ("DWDT", wanted.clone()),
                ("PUUN", "PCS".to_owned()),
                ("FACI", "A01".to_owned()),
                ("WHLO", "001".to_owned()),
            ];
            store.seed(Kind::PurchaseLine, company, row(company, division, dice, &values));
        }
    }
}

/// AITP 1 is an account; 2 to 7 are the other accounting dimensions.
fn ledger(store: &Store, company: u16, dice: &mut Dice) {
    for number in 0..80 {
        let dimension = if number < 60 { 1 } else { 2 + number % 6 };
        let code = (1_000 + number * 10).to_string();
        let name = format!("{} {}", dice.pick(SECOND), if dimension == 1 { "account" } else { "dimension" });
        let values = [("AITP", dimension.to_string()), ("AITM", code), ("TX40", name.clone()), ("TX15", name)];
        store.seed(Kind::Account, company, row(company, "", dice, &values));
    }
}

fn places(store: &Store, company: u16, divisions: &[&str; 2], dice: &mut Dice) {
    for (division, name) in [("", "Central"), (divisions[0], "First division"), (divisions[1], "Second division")] {
        let values = [
            ("DIVI", division.to_owned()),
            ("CONM", format!("{name} of company {company}")),
            ("TX15", name.to_owned()),
            ("TX40", format!("{name} of company {company}")),
            ("FACI", "A01".to_owned()),
            ("WHLO", "001".to_owned()),
        ];
        store.seed(Kind::Division, company, row(company, division, dice, &values));
    }
    for user in ["MIGATE", "MIDEMO", "MIREAD", "MICOMMA", "MIMDY", "MI100", "MI200", "MINOAUT"] {
        let home = if user == "MI200" { (200, "CCC") } else { (100, "AAA") };
        let values = [
            ("USID", user.to_owned()),
            ("NAME", format!("{user} of the mock")),
            ("TX40", format!("{user} of the mock")),
            ("CONO", home.0.to_string()),
            ("DIVI", home.1.to_owned()),
            ("DFCO", home.0.to_string()),
            ("DFDI", home.1.to_owned()),
            ("LANC", "GB".to_owned()),
            ("DTFM", if user == "MIMDY" { "MDY" } else { "YMD" }.to_owned()),
            ("DCFM", if user == "MICOMMA" { "," } else { "." }.to_owned()),
            ("TIZO", "UTC".to_owned()),
            ("FACI", "A01".to_owned()),
            ("WHLO", "001".to_owned()),
            ("EUID", format!("{}@example.com", user.to_lowercase())),
        ];
        store.seed(Kind::User, company, row(company, home.1, dice, &values));
    }
    // Each facility belongs to a division, each warehouse to a facility.
    for (facility, division) in [("A01", divisions[0]), ("B01", divisions[1])] {
        let values = [("FACI", facility.to_owned()), ("FACN", format!("Facility {facility}"))];
        store.seed(Kind::Facility, company, row(company, division, dice, &values));
    }
    for (warehouse, facility, division) in
        [("001", "A01", divisions[0]), ("002", "A01", divisions[0]), ("003", "B01", divisions[1])]
    {
        let named = ("WHNM", format!("Warehouse {warehouse}"));
        let values = [("WHLO", warehouse.to_owned()), named, ("FACI", facility.to_owned())];
        store.seed(Kind::Warehouse, company, row(company, division, dice, &values));
    }
}

/// What M3 fills in when a record is added without it.
pub(super) fn defaults(kind: Kind, row: &mut Row) {
    let values: &[(&str, &str)] = match kind {
        Kind::OrderHead => {
            &[("ORTP", "A01"), ("ORST", "22"), ("ORSL", "22"), ("STAT", "20"), ("FACI", "A01"), ("WHLO", "001")]
        }
        Kind::OrderLine | Kind::OrderBatchLine => &[("POSX", "0"), ("ORST", "22"), ("WHLO", "001"), ("ORQT", "1")],
        Kind::OrderBatch => &[("STAT", "10")],
        Kind::PurchaseLine => &[("PNLS", "0"), ("FACI", "A01"), ("WHLO", "001")],
        Kind::PurchaseBatchLine => &[("PNLS", "0"), ("FACI", "A01"), ("WHLO", "001"), ("STAT", "20")],
        Kind::PurchaseBatch => &[("STAT", "20"), ("ORTY", "A00")],
        Kind::Item => &[("STAT", "20"), ("UNMS", "PCS")],
        Kind::User | Kind::Division | Kind::Facility | Kind::Warehouse | Kind::Balance | Kind::PurchaseEntry => &[],
        _ => &[("STAT", "20")],
    };
    for (name, value) in values {
        if row.get(*name).is_none_or(String::is_empty) {
            row.insert((*name).to_owned(), (*value).to_owned());
        }
    }
}
