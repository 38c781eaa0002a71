use super::*;
use std::io::Write;

fn open(bytes: &[u8]) -> Result<Graph, GraphError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    Graph::open(file.path())
}

fn compressed() -> Vec<u8> {
    std::fs::read(crate::cli::default_edges()).unwrap()
}

fn problem(text: impl AsRef<[u8]>) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn nodes_are_the_distinct_tokens_in_byte_order() {
    let graph = parse("# c\nb\ta\nB\tb\n\na\tZ\n").unwrap();
    assert_eq!(graph.names(), ["B", "Z", "a", "b"]);
    assert_eq!(graph.edges(), [(0, 3), (2, 1), (3, 2)]);
    assert_eq!(graph.outdegrees(), [1, 0, 1, 1]);
}

#[test]
fn duplicates_and_self_loops_are_dropped_and_their_nodes_stay() {
    let graph = parse("a\tb\na\tb\nc\tc\na b\r\n").unwrap();
    assert_eq!(graph.names(), ["a", "b", "c"]);
    assert_eq!(graph.edges(), [(0, 1)]);
}

#[test]
fn a_line_that_is_no_edge_is_named() {
    assert_eq!(problem("a\tb\nc\n"), "line 2 of the edge list is not `from<TAB>to`");
    assert_eq!(problem("a\tb\tc\n"), "line 1 of the edge list is not `from<TAB>to`");
    assert_eq!(problem(b"a\t\xff\n"), "line 1 of the edge list is not UTF-8");
    assert_eq!(problem("a\tb\u{1b}[2J\n"), "line 1 of the edge list has a control character in a name");
    assert_eq!(problem("x".repeat(1 << 20)), "line 1 of the edge list is longer than 4096 bytes");
    assert_eq!(problem("# nothing\n"), "the edge list has no edges");
}

#[test]
fn the_longest_line_is_still_read() {
    let name = "n".repeat(MAX_LINE_BYTES as usize - 3);
    assert_eq!(parse(format!("{name}\tb\n")).unwrap().names(), ["b", name.as_str()]);
}

#[test]
fn the_debian_graph_has_the_counts_it_states() {
    let graph = open(&compressed()).unwrap();
    assert_eq!((graph.len(), graph.edges().len()), (58_017, 245_087));
}

#[test]
fn two_zstd_frames_in_a_row_are_one_file() {
    let twice = compressed().repeat(2);
    assert_eq!(open(&twice).unwrap(), open(&compressed()).unwrap());
}

#[test]
fn a_damaged_zstd_file_is_an_error_and_never_a_smaller_graph() {
    let whole = compressed();
    for length in [4, 5, 100, whole.len() / 2, whole.len() - 1] {
        assert!(matches!(open(&whole[..length]), Err(GraphError::Io(..))), "cut at {length}");
    }
    for position in (16..whole.len()).step_by(whole.len() / 20) {
        let mut flipped = whole.clone();
        flipped[position] ^= 1;
        assert!(open(&flipped).is_err(), "a bit flipped at {position}");
    }
    let mut tail = whole.clone();
    tail.extend_from_slice(b"noise");
    assert!(matches!(open(&tail), Err(GraphError::Io(..))));
}

#[test]
fn a_missing_file_is_named() {
    let error = Graph::open(Path::new("/no/such/file")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read /no/such/file"), "{error}");
}
