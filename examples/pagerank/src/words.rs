//! Long columns of numbers as bytes: a codec that looks at each number by itself takes longer than all the arithmetic.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};
use serde_bytes::ByteBuf;

/// A number of a fixed length.
pub trait Word: Copy {
    const BYTES: usize;
    fn write(self, to: &mut [u8]);
    fn read(from: &[u8]) -> Self;
}

macro_rules! word {
    ($number:ty) => {
        impl Word for $number {
            const BYTES: usize = size_of::<$number>();
            fn write(self, to: &mut [u8]) {
                to.copy_from_slice(&self.to_le_bytes());
            }
            fn read(from: &[u8]) -> Self {
                from.try_into().map_or(0, <$number>::from_le_bytes)
            }
        }
    };
}

word!(u32);
word!(u64);

pub fn serialize<T: Word, S: Serializer>(words: &[T], to: S) -> Result<S::Ok, S::Error> {
    let mut bytes = vec![0; words.len() * T::BYTES];
    for (word, place) in words.iter().zip(bytes.chunks_exact_mut(T::BYTES)) {
        word.write(place);
    }
    to.serialize_bytes(&bytes)
}

pub fn deserialize<'de, T: Word, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let bytes = ByteBuf::deserialize(from)?;
    if bytes.len() % T::BYTES != 0 {
        return Err(D::Error::custom("a column ends within a number"));
    }
    Ok(bytes.chunks_exact(T::BYTES).map(T::read).collect())
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Columns {
        #[serde(with = "super")]
        short: Vec<u32>,
        #[serde(with = "super")]
        long: Vec<u64>,
    }

    #[test]
    fn columns_survive_the_trip_and_torn_ones_are_errors() {
        let columns = Columns { short: vec![0, 1, u32::MAX], long: vec![u64::MAX, 1 << 40] };
        let text = serde_json::to_string(&columns).unwrap();
        assert_eq!(serde_json::from_str::<Columns>(&text).unwrap(), columns);
        assert!(serde_json::from_str::<Columns>("{\"short\":[1,2,3],\"long\":[]}").is_err());
    }
}
