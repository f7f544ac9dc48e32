//! Which transaction does what to which kind of record. A table, and as long as it has to be.

/// A kind of record: its key fields, in the order in which lists come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Customer,
    CustomerAddress,
    Supplier,
    SupplierAddress,
    SupplierReference,
    Account,
    Item,
    ItemWarehouse,
    ItemFacility,
    Balance,
    OrderHead,
    OrderLine,
    OrderBatch,
    OrderBatchLine,
    PurchaseHead,
    PurchaseLine,
    PurchaseEntry,
    PurchaseBatch,
    PurchaseBatchLine,
    User,
    Division,
    Facility,
    Warehouse,
}

impl Kind {
    pub(super) const ALL: [Self; 23] = [
        Self::Customer,
        Self::CustomerAddress,
        Self::Supplier,
        Self::SupplierAddress,
        Self::SupplierReference,
        Self::Account,
        Self::Item,
        Self::ItemWarehouse,
        Self::ItemFacility,
        Self::Balance,
        Self::OrderHead,
        Self::OrderLine,
        Self::OrderBatch,
        Self::OrderBatchLine,
        Self::PurchaseHead,
        Self::PurchaseLine,
        Self::PurchaseEntry,
        Self::PurchaseBatch,
        Self::PurchaseBatchLine,
        Self::User,
        Self::Division,
        Self::Facility,
        Self::Warehouse,
    ];

    pub(super) fn key(self) -> &'static [&'static str] {
        match self {
            Self::Customer => &["CUNO"],
            Self::CustomerAddress => &["CUNO", "ADRT", "ADID"],
            Self::Supplier => &["SUNO"],
            Self::SupplierAddress => &["SUNO", "ADTE", "ADID"],
            Self::SupplierReference => &["SUNO", "RFTY", "RFID"],
            Self::Account => &["AITP", "AITM"],
            Self::Item => &["ITNO"],
            Self::ItemWarehouse => &["WHLO", "ITNO"],
            Self::ItemFacility => &["FACI", "ITNO"],
            Self::Balance => &["WHLO", "ITNO", "WHSL"],
            Self::OrderHead | Self::OrderBatch => &["ORNO"],
            Self::OrderLine | Self::OrderBatchLine => &["ORNO", "PONR"],
            Self::PurchaseHead | Self::PurchaseBatch => &["PUNO"],
            Self::PurchaseLine | Self::PurchaseBatchLine => &["PUNO", "PNLI"],
            Self::PurchaseEntry => &["MSGN"],
            Self::User => &["USID"],
            Self::Division => &["DIVI"],
            Self::Facility => &["FACI"],
            Self::Warehouse => &["WHLO"],
        }
    }

    /// What must be there for a record of this kind to be added.
    pub(super) fn parent(self) -> Option<Self> {
        Some(match self {
            Self::CustomerAddress => Self::Customer,
            Self::SupplierAddress | Self::SupplierReference => Self::Supplier,
            Self::ItemWarehouse | Self::ItemFacility => Self::Item,
            Self::OrderLine => Self::OrderHead,
            Self::OrderBatchLine => Self::OrderBatch,
            Self::PurchaseLine => Self::PurchaseHead,
            Self::PurchaseBatchLine => Self::PurchaseBatch,
            Self::OrderHead | Self::OrderBatch => Self::Customer,
            Self::PurchaseBatch => Self::PurchaseEntry,
            _ => return None,
        })
    }

    /// Goes when the other goes: its key names it.
    pub(super) fn is_part_of(self, whole: Self) -> bool {
        self.parent() == Some(whole) && whole.key().iter().all(|field| self.key().contains(field))
    }

    /// The key field that M3 numbers itself when nobody gives it, and where its numbers begin.
    pub(super) fn numbered(self) -> Option<(&'static str, u64)> {
        Some(match self {
            Self::Customer => ("CUNO", 900_001),
            Self::Item => ("ITNO", 900_001),
            Self::OrderHead => ("ORNO", 1_500_001),
            Self::OrderBatch => ("ORNO", 700_001),
            Self::OrderLine | Self::OrderBatchLine => ("PONR", 1),
            Self::PurchaseBatch => ("PUNO", 2_500_001),
            Self::PurchaseLine | Self::PurchaseBatchLine => ("PNLI", 1),
            Self::PurchaseEntry => ("MSGN", 100_001),
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    /// Lists in the order of the first fields, starting at what is given; the others must be equal where they are given.
    List {
        order: &'static [&'static str],
        equal: &'static [&'static str],
    },
    /// Between two values of one field: from, to, field.
    Range {
        from: &'static str,
        to: &'static str,
        of: &'static str,
    },
    /// Any field holds the words of SQRY.
    Search,
    Add,
    Change,
    Delete,
    /// From the call's key to another: old field and new field.
    Copy(&'static [(&'static str, &'static str)]),
    StartEntry,
    FinishEntry,
    Confirm,
    Approve,
    OwnUser,
    BigList,
    /// A list of a site's own: its fields have the two letters of their table in front.
    Defined(&'static str),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Play {
    pub(super) kind: Kind,
    pub(super) verb: Verb,
}

use Kind as K;
use Verb::{Add, Change, Delete, Get, List, Range, Search};

const fn by(order: &'static [&'static str]) -> Verb {
    List { order, equal: &[] }
}

const fn of(equal: &'static [&'static str], order: &'static [&'static str]) -> Verb {
    List { order, equal }
}

/// Program, transaction, kind, what it does.
const PLAYS: &[(&str, &str, Kind, Verb)] = &[
    ("CMS100MI", "Lst_Customers_1", K::Customer, Verb::Defined("OK")),
    ("CRS610MI", "Add", K::Customer, Add),
    ("CRS610MI", "AddAddress", K::CustomerAddress, Add),
    ("CRS610MI", "ChgAddress", K::CustomerAddress, Change),
    ("CRS610MI", "ChgBasicData", K::Customer, Change),
    ("CRS610MI", "ChgFinancial", K::Customer, Change),
    ("CRS610MI", "ChgOrderInfo", K::Customer, Change),
    ("CRS610MI", "ChgServOrdInfo", K::Customer, Change),
    ("CRS610MI", "Copy", K::Customer, Verb::Copy(&[("CUTM", "CUNO")])),
    ("CRS610MI", "Delete", K::Customer, Delete),
    ("CRS610MI", "DeleteAddress", K::CustomerAddress, Delete),
    ("CRS610MI", "GetAddress", K::CustomerAddress, Get),
    ("CRS610MI", "GetBasicData", K::Customer, Get),
    ("CRS610MI", "GetFinancial", K::Customer, Get),
    ("CRS610MI", "GetOrderInfo", K::Customer, Get),
    ("CRS610MI", "GetServOrdInfo", K::Customer, Get),
    ("CRS610MI", "LstAddresses", K::CustomerAddress, of(&["CUNO", "ADRT"], &["ADRT", "ADID"])),
    ("CRS610MI", "LstByGroup", K::Customer, of(&["CUCL"], &["CUNO"])),
    ("CRS610MI", "LstByName", K::Customer, by(&["CUNM", "CUNO"])),
    ("CRS610MI", "LstByNumber", K::Customer, by(&["CUNO"])),
    ("CRS610MI", "LstBySearchKey", K::Customer, by(&["ALCU", "CUNO"])),
    ("CRS610MI", "SearchCustomer", K::Customer, Search),
    ("CRS620MI", "AddAddress", K::SupplierAddress, Add),
    ("CRS620MI", "AddSupplier", K::Supplier, Add),
    ("CRS620MI", "AddSupplierRef", K::SupplierReference, Add),
    ("CRS620MI", "CopyTemplate", K::Supplier, Verb::Copy(&[("STEM", "SUNO")])),
    ("CRS620MI", "DelAddress", K::SupplierAddress, Delete),
    ("CRS620MI", "DelSupplier", K::Supplier, Delete),
    ("CRS620MI", "DelSupplierRef", K::SupplierReference, Delete),
    ("CRS620MI", "GetAddress", K::SupplierAddress, Get),
    ("CRS620MI", "GetBasicData", K::Supplier, Get),
    ("CRS620MI", "GetSupplierRef", K::SupplierReference, Get),
    ("CRS620MI", "LstAddresses", K::SupplierAddress, of(&["SUNO"], &["ADTE", "ADID"])),
    ("CRS620MI", "LstByName", K::Supplier, by(&["SUNM", "SUNO"])),
    ("CRS620MI", "LstByNumber", K::Supplier, by(&["SUNO"])),
    ("CRS620MI", "LstSuppliers", K::Supplier, Range { from: "FRSU", to: "TOSU", of: "SUNO" }),
    ("CRS620MI", "LstSupplierRef", K::SupplierReference, of(&["SUNO"], &["RFTY", "RFID"])),
    ("CRS620MI", "SearchSupplier", K::Supplier, Search),
    ("CRS620MI", "UpdAddress", K::SupplierAddress, Change),
    ("CRS620MI", "UpdSupplier", K::Supplier, Change),
    ("CRS620MI", "UpdSupplierRef", K::SupplierReference, Change),
    ("CRS630MI", "AddAccountID", K::Account, Add),
    ("CRS630MI", "CpyAccountID", K::Account, Verb::Copy(&[("AITP", "CAIP"), ("AITM", "CAIM")])),
    ("CRS630MI", "DltAccountID", K::Account, Delete),
    ("CRS630MI", "GetAccountID", K::Account, Get),
    ("CRS630MI", "GetAccountIDLng", K::Account, Get),
    ("CRS630MI", "LstAccountID", K::Account, of(&["AITP"], &["AITM"])),
    ("CRS630MI", "UpdAccountID", K::Account, Change),
    ("MMS060MI", "Get", K::Balance, Get),
    ("MMS060MI", "List", K::Balance, of(&["WHLO"], &["ITNO", "WHSL"])),
    ("MMS060MI", "LstBalID", K::Balance, Verb::BigList),
    ("MMS060MI", "LstLocation", K::Balance, of(&["WHLO", "WHSL"], &["ITNO"])),
    ("MMS060MI", "LstViaItem", K::Balance, of(&["ITNO"], &["WHLO", "WHSL"])),
    ("MMS060MI", "Select", K::Balance, Range { from: "FITN", to: "TITN", of: "ITNO" }),
    ("MMS060MI", "SetBalIdAloc", K::Balance, Change),
    ("MMS200MI", "AddItmBasic", K::Item, Add),
    ("MMS200MI", "AddItmFac", K::ItemFacility, Add),
    ("MMS200MI", "AddItmViaItmTyp", K::Item, Add),
    ("MMS200MI", "AddItmWhs", K::ItemWarehouse, Add),
    ("MMS200MI", "CpyItmBasic", K::Item, Verb::Copy(&[("ITNO", "CITN")])),
    ("MMS200MI", "DltItm", K::Item, Delete),
    ("MMS200MI", "DltItmFac", K::ItemFacility, Delete),
    ("MMS200MI", "DltItmWhs", K::ItemWarehouse, Delete),
    ("MMS200MI", "Get", K::Item, Get),
    ("MMS200MI", "GetItmBasic", K::Item, Get),
    ("MMS200MI", "GetItmFac", K::ItemFacility, Get),
    ("MMS200MI", "GetItmMeas", K::Item, Get),
    ("MMS200MI", "GetItmPrice", K::Item, Get),
    ("MMS200MI", "GetItmWhsBal", K::ItemWarehouse, Get),
    ("MMS200MI", "GetItmWhsBasic", K::ItemWarehouse, Get),
    ("MMS200MI", "LstFacByItem", K::ItemFacility, of(&["ITNO"], &["FACI"])),
    ("MMS200MI", "LstItmByItm", K::Item, by(&["ITNO"])),
    ("MMS200MI", "LstItmByItmGr", K::Item, of(&["ITGR"], &["ITNO"])),
    ("MMS200MI", "LstItmFac", K::ItemFacility, of(&["FACI"], &["ITNO"])),
    ("MMS200MI", "LstItmWhsByItm", K::ItemWarehouse, of(&["ITNO"], &["WHLO"])),
    ("MMS200MI", "LstItmWhsByWhs", K::ItemWarehouse, of(&["WHLO"], &["ITNO"])),
    ("MMS200MI", "SearchItem", K::Item, Search),
    ("MMS200MI", "SndItmDesc", K::Item, Search),
    ("MMS200MI", "UpdItmBasic", K::Item, Change),
    ("MMS200MI", "UpdItmFac", K::ItemFacility, Change),
    ("MMS200MI", "UpdItmMeas", K::Item, Change),
    ("MMS200MI", "UpdItmPrice", K::Item, Change),
    ("MMS200MI", "UpdItmWhs", K::ItemWarehouse, Change),
    ("OIS100MI", "AddBatchHead", K::OrderBatch, Add),
    ("OIS100MI", "AddBatchLine", K::OrderBatchLine, Add),
    ("OIS100MI", "AddOrderHead", K::OrderHead, Add),
    ("OIS100MI", "AddOrderLine", K::OrderLine, Add),
    ("OIS100MI", "ChgBatchHead", K::OrderBatch, Change),
    ("OIS100MI", "ChgBatchLine", K::OrderBatchLine, Change),
    ("OIS100MI", "ChgLineBatchEnt", K::OrderLine, Change),
    ("OIS100MI", "Confirm", K::OrderBatch, Verb::Confirm),
    ("OIS100MI", "DelBatchHead", K::OrderBatch, Delete),
    ("OIS100MI", "DelBatchLine", K::OrderBatchLine, Delete),
    ("OIS100MI", "DelHead", K::OrderHead, Delete),
    ("OIS100MI", "DelLine", K::OrderLine, Delete),
    ("OIS100MI", "GetBatchHead", K::OrderBatch, Get),
    ("OIS100MI", "GetBatchLine", K::OrderBatchLine, Get),
    ("OIS100MI", "GetHead", K::OrderHead, Get),
    ("OIS100MI", "GetLine", K::OrderLine, Get),
    ("OIS100MI", "GetLine2", K::OrderLine, Get),
    ("OIS100MI", "LstBatchHead", K::OrderBatch, of(&["CUNO"], &["ORNO"])),
    ("OIS100MI", "LstBatchLine", K::OrderBatchLine, of(&["ORNO"], &["PONR"])),
    ("OIS100MI", "LstHead", K::OrderHead, of(&["CUNO"], &["ORNO"])),
    ("OIS100MI", "LstLine", K::OrderLine, of(&["ORNO"], &["PONR"])),
    ("OIS100MI", "LstLine2", K::OrderLine, of(&["ORNO"], &["PONR"])),
    ("OIS100MI", "SearchHead", K::OrderHead, Search),
    ("OIS100MI", "SearchLine", K::OrderLine, Search),
    ("PPS200MI", "AddLine", K::PurchaseLine, Add),
    ("PPS200MI", "ApprovePO", K::PurchaseHead, Verb::Approve),
    ("PPS200MI", "DltLine", K::PurchaseLine, Delete),
    ("PPS200MI", "GetHead", K::PurchaseHead, Get),
    ("PPS200MI", "GetLine", K::PurchaseLine, Get),
    ("PPS200MI", "GetLineX", K::PurchaseLine, Get),
    ("PPS200MI", "LstLine", K::PurchaseLine, of(&["PUNO"], &["PNLI"])),
    ("PPS200MI", "LstLine2", K::PurchaseLine, of(&["PUNO"], &["PNLI"])),
    ("PPS200MI", "SearchHead", K::PurchaseHead, Search),
    ("PPS200MI", "SearchLine", K::PurchaseLine, Search),
    ("PPS200MI", "UpdHead", K::PurchaseHead, Change),
    ("PPS200MI", "UpdLine", K::PurchaseLine, Change),
    ("PPS370MI", "AddHead", K::PurchaseBatch, Add),
    ("PPS370MI", "AddLine", K::PurchaseBatchLine, Add),
    ("PPS370MI", "FinishEntry", K::PurchaseEntry, Verb::FinishEntry),
    ("PPS370MI", "DeleteEntry", K::PurchaseEntry, Delete),
    ("PPS370MI", "GetBatchHead", K::PurchaseBatch, Get),
    ("PPS370MI", "GetBatchLine", K::PurchaseBatchLine, Get),
    ("PPS370MI", "LstBatchLine", K::PurchaseBatchLine, of(&["PUNO"], &["PNLI"])),
    ("PPS370MI", "StartEntry", K::PurchaseEntry, Verb::StartEntry),
    ("MNS150MI", "Add", K::User, Add),
    ("MNS150MI", "ChgDefaultValue", K::User, Change),
    ("MNS150MI", "CopyUser", K::User, Verb::Copy(&[("FRUS", "USID")])),
    ("MNS150MI", "DelUser", K::User, Delete),
    ("MNS150MI", "GetUserData", K::User, Verb::OwnUser),
    ("MNS150MI", "LstUserData", K::User, by(&["USID"])),
    ("MNS150MI", "LstCmpDivi", K::Division, by(&["DIVI"])),
    ("MNS100MI", "GetBasicData", K::Division, Get),
    ("MNS100MI", "LstDivisions", K::Division, by(&["DIVI"])),
    ("CRS008MI", "Get", K::Facility, Get),
    ("CRS008MI", "ListFacility", K::Facility, by(&["FACI"])),
    ("MMS005MI", "GetWarehouse", K::Warehouse, Get),
    ("MMS005MI", "LstWarehouses", K::Warehouse, by(&["WHLO"])),
];

pub(super) fn find(program: &str, transaction: &str) -> Option<Play> {
    let found = PLAYS.iter().find(|(p, t, _, _)| *p == program && *t == transaction);
    found.map(|(_, _, kind, verb)| Play { kind: *kind, verb: *verb })
}

/// The kind that a program is about.
pub(super) fn main_kind(program: &str) -> Option<Kind> {
    Some(match program {
        "CRS610MI" => K::Customer,
        "CRS620MI" => K::Supplier,
        "CRS630MI" => K::Account,
        "MMS060MI" => K::Balance,
        "MMS200MI" => K::Item,
        "OIS100MI" => K::OrderHead,
        "PPS200MI" => K::PurchaseHead,
        "PPS370MI" => K::PurchaseBatch,
        "MNS150MI" => K::User,
        "MNS100MI" => K::Division,
        "CRS008MI" => K::Facility,
        "MMS005MI" => K::Warehouse,
        _ => return None,
    })
}

#[cfg(test)]
pub(super) fn plays() -> impl Iterator<Item = (&'static str, &'static str)> {
    PLAYS.iter().map(|(program, transaction, _, _)| (*program, *transaction))
}
