//! What the run came to: a table for people, one JSON object for programs.

use std::fmt::{self, Display};

use serde::Serialize;

use super::recovery::KillReport;

/// The keys of the JSON object are these fields.
#[derive(Debug, Serialize)]
pub struct Summary {
    pub iterations: u64,
    pub digest: String,
    /// None if nothing was compared.
    pub reference_digest: Option<String>,
    pub matches: bool,
    pub kills: Vec<KillReport>,
    pub calls_failed: u64,
    pub wall_s: f64,
    /// From the first superstep to the end.
    pub job_s: f64,
    /// From there until all had done the last one.
    pub steps_s: f64,
    /// The peers' processor time meanwhile, and what went over loopback.
    pub steps_cpu_s: f64,
    pub steps_loopback_bytes: f64,
    pub copies_repaired: u64,
    pub top: Vec<(String, u64)>,
}

impl Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.kills.is_empty() {
            writeln!(f, "killed        at    detect     admit   restore    answer  actors")?;
        }
        for kill in &self.kills {
            let KillReport { node, iteration, actors, .. } = kill;
            write!(f, "{:<10}{iteration:>6}", node.as_str())?;
            for moment in [kill.detect_ms, kill.admit_ms, kill.restore_ms, kill.answer_ms] {
                let text = moment.map_or("-".to_owned(), |ms| format!("{:.2} s", ms as f64 / 1000.0));
                write!(f, "{text:>10}")?;
            }
            writeln!(f, "{actors:>8}")?;
        }
        let recovered: usize = self.kills.iter().map(|kill| kill.actors).sum();
        writeln!(f, "actors recovered:   {recovered}")?;
        writeln!(f, "copies repaired:    {}", self.copies_repaired)?;
        writeln!(f, "calls failed:       {}", self.calls_failed)?;
        writeln!(f, "\ntop ten after {} iterations", self.iterations)?;
        for (place, (name, rank)) in self.top.iter().enumerate() {
            writeln!(f, "{:>4}  {name:<32}{rank:>18}", place + 1)?;
        }
        writeln!(f, "\ndigest {}", self.digest)?;
        writeln!(f, "wall time {:.1} s", self.wall_s)?;
        writeln!(f, "supersteps {:.2} s, {:.1} s of processors", self.steps_s, self.steps_cpu_s)?;
        let matches = match &self.reference_digest {
            None => "not compared",
            Some(_) if self.matches => "yes",
            Some(_) => "NO",
        };
        write!(f, "matches the single-process reference: {matches}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use standin::id::NodeId;

    fn summary() -> Summary {
        let kill = KillReport {
            node: NodeId::new("worker-7").unwrap(),
            iteration: 20,
            detect_ms: Some(1010),
            admit_ms: Some(1100),
            restore_ms: Some(1250),
            answer_ms: None,
            actors: 4,
        };
        Summary {
            iterations: 50,
            digest: "d3".to_owned(),
            reference_digest: Some("d3".to_owned()),
            matches: true,
            kills: vec![kill],
            calls_failed: 2,
            wall_s: 12.3,
            job_s: 10.0,
            steps_s: 9.5,
            steps_cpu_s: 11.0,
            steps_loopback_bytes: 1e6,
            copies_repaired: 8,
            top: vec![("libc6".to_owned(), 40_296_559_617_153)],
        }
    }

    #[test]
    fn the_table_reads_well() {
        let text = summary().to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "killed        at    detect     admit   restore    answer  actors");
        assert_eq!(lines[1], "worker-7      20    1.01 s    1.10 s    1.25 s         -       4");
        assert_eq!(lines.last(), Some(&"matches the single-process reference: yes"));
    }

    #[test]
    fn the_object_has_the_promised_keys() {
        let object = serde_json::to_value(summary()).unwrap();
        for key in ["iterations", "digest", "reference_digest", "matches", "kills", "calls_failed", "wall_s"]
        {
            assert!(object.get(key).is_some(), "{key}");
        }
        let kill = object["kills"][0].as_object().unwrap();
        let keys: Vec<_> = kill.keys().map(String::as_str).collect();
        let mut promised = ["node", "detect_ms", "admit_ms", "restore_ms", "answer_ms", "actors"];
        promised.sort_unstable();
        let mut keys = keys;
        keys.sort_unstable();
        assert_eq!(keys, promised);
        assert!(kill["answer_ms"].is_null());
    }
}
