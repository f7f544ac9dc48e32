//! Documents of orders with ten lines, made by one core out of what M3 answered.

use crate::common::thread_time;
use bytes::Bytes;
use mi_gateway::bod::{Action, Envelope, Mapping, Rows, Verb, shipped, validate};
use mi_gateway::mock_m3::{Field, Metadata};
use mi_gateway::model::{
    Charset, Conventions, FieldKind, FieldLayout, FieldName, Layout, ProgramName, Record, TransactionLayout,
    TransactionName,
};

const LINES: usize = 10;
const TIMES: u32 = 20_000;
const ROUNDS: u32 = 5;

pub(crate) fn measure() {
    let mappings = shipped().expect("shipped mappings");
    let mapping = mappings.iter().find(|mapping| mapping.noun() == "PurchaseOrder").expect("orders are shipped");
    let layouts = layouts(mapping);
    let records: Vec<Vec<Record>> = layouts.iter().map(records).collect();
    let rows: Vec<Rows<'_>> = layouts.iter().zip(&records).map(|(layout, records)| Rows { layout, records }).collect();
    let known: Vec<Option<&TransactionLayout>> = layouts.iter().map(Some).collect();
    let bound = mapping.bind(&known).expect("the mock has what the mapping reads");
    let key = ["2000001"];
    let mut bytes = 0;
    let mut one = |checked: bool| {
        let composed = bound.compose(&envelope(&key), &rows);
        if checked {
            assert!(validate("Sync.PurchaseOrder", &composed.xml).is_empty(), "{}", composed.xml);
        }
        bytes = composed.xml.len();
    };
    one(true);
    println!("Sync.PurchaseOrder of {LINES} lines, one core");
    for (what, checked) in [("composed", false), ("composed and checked", true)] {
        let mut best = f64::MAX;
        for _ in 0..ROUNDS {
            let used = thread_time();
            (0..TIMES).for_each(|_| one(checked));
            best = best.min((thread_time() - used).as_secs_f64());
        }
        println!("  {what:<22} {:>9.0} documents/s", f64::from(TIMES) / best);
    }
    println!("  of {bytes} bytes each");
}

fn envelope<'a>(key: &'a [&'a str]) -> Envelope<'a> {
    Envelope {
        verb: Verb::Sync,
        action: Action::Replace,
        tenant: "DEMO_TST",
        entity: "100_AAA",
        company: "100",
        division: "AAA",
        location: "001",
        logical_id: "lid://mi-gateway.m3",
        component: "mi-gateway",
        reference: "0198c1f0",
        confirmation: "OnError",
        created: "2026-03-01T12:00:00.000Z",
        bod_id: "0198c1f0-0000-7000-8000-000000000000",
        variation: 1_772_366_400_000,
        key,
    }
}

fn layouts(mapping: &Mapping) -> Vec<TransactionLayout> {
    let metadata = Metadata::shipped();
    let of = |program: ProgramName, name: TransactionName| {
        let known = metadata.transaction(program.as_str(), name.as_str()).expect("the mock knows it");
        let (input, output) = (fields(&known.input), fields(&known.output));
        TransactionLayout { program, name, description: "".into(), multi: known.multi, input, output }
    };
    mapping.reads().iter().map(|read| of(read.program(), read.transaction())).collect()
}

fn fields(fields: &[Field]) -> Layout {
    let of = |field: &Field| FieldLayout {
        name: FieldName::parse(&field.name).expect("a field"),
        kind: FieldKind::of(&field.kind.to_string()).expect("a kind"),
        from: u16::try_from(field.from).expect("a column"),
        length: u16::try_from(field.length).expect("a length"),
        mandatory: false,
        description: "".into(),
    };
    Layout::new(fields.iter().map(of).collect())
}

/// One head, and ten of each list, every column with something in it.
fn records(layout: &TransactionLayout) -> Vec<Record> {
    (1..=if layout.multi { LINES } else { 1 }).map(|at| record(layout, at)).collect()
}

fn record(layout: &TransactionLayout, at: usize) -> Record {
    let mut columns = vec![u16::from(b' '); 15];
    for field in layout.output.fields() {
        let (from, length) = (usize::from(field.from) - 1, usize::from(field.length));
        columns.resize(columns.len().max(from + length), u16::from(b' '));
        let value = match (field.name.as_str(), field.kind) {
            ("PNLI", _) => at.to_string(),
            ("PNLS", _) => "0".to_owned(),
            ("DIVI", _) => "AAA".to_owned(),
            ("CUCD" | "PUUN" | "PPUN" | "UNMS", _) => "EUR".to_owned(),
            ("PUSL", _) => "20".to_owned(),
            (_, FieldKind::Date) => "20260301".to_owned(),
            (name, _) if name.ends_with("DT") => "20260301".to_owned(),
            (_, FieldKind::Number) => "12.50".to_owned(),
            (name, FieldKind::Alphanumeric) => format!("{name} number {at}"),
        };
        for (column, unit) in columns[from..from + length].iter_mut().zip(value.encode_utf16()) {
            *column = unit;
        }
    }
    let payload: Vec<u8> = columns.iter().flat_map(|unit| unit.to_be_bytes()).collect();
    Record::new(Bytes::from(payload), Charset::Ucs2, Conventions::default())
}
