//! The program, as a user runs it.

use std::process::Command;

#[test]
fn the_total_is_conserved_while_peers_are_killed() {
    let run = Command::new(env!("CARGO_BIN_EXE_bank"))
        .args(["--peers", "4", "--accounts", "12", "--transfers", "300", "--kills", "2", "--json"])
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{out}\n{err}");
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["in_accounts"], &last["on_the_way"], &last["total"]),
        (&12_000.into(), &0.into(), &12_000.into())
    );
    let sum = ["paid", "refused", "came_back"].iter().map(|what| last[what].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum, 300);
    assert!(last["came_back"].as_u64().unwrap() > 0, "the saga's other way was taken too: {last}");
    assert!(last["kills"].as_u64().unwrap() >= 2);
}
