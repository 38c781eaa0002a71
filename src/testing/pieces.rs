//! What is done most often, in pieces that can be repeated: for benchmarks, and for those who count instructions.

mod codec;
mod rules;

/// Lets the work be done, and looks at it meanwhile.
pub type Measure<'a> = &'a mut dyn FnMut(&mut dyn FnMut());

/// Prepares the next round of the work, and has that measured.
pub type Round = Box<dyn FnMut(Measure<'_>)>;

/// Why a piece cannot be begun.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Work that can be repeated.
pub struct Piece {
    /// What is done.
    pub name: &'static str,
    /// How often it is done in one round.
    pub times: u64,
    /// Prepares all rounds.
    ///
    /// # Errors
    /// If that fails.
    pub begin: fn() -> Result<Round, Failure>,
}

/// The pieces of a message's and a checkpoint's way that no public function does alone.
pub const PIECES: [Piece; 6] =
    [codec::CALL, codec::CHECKPOINT, codec::LONG_CHECKPOINT, rules::SESSION, rules::COMMIT, rules::LEASE];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_can_be_repeated_and_is_measured_once_a_round() {
        for piece in PIECES {
            let mut round = (piece.begin)().unwrap();
            for _ in 0..3 {
                let mut measured = 0;
                round(&mut |work| {
                    work();
                    measured += 1;
                });
                assert_eq!(measured, 1, "{}", piece.name);
            }
        }
    }
}
