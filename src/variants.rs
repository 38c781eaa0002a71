//! Enums that know all of their variants.

/// Makes the constant from the variants, so that it forgets none.
macro_rules! variants {
    (
        $(#[$about:meta])*
        $seen:vis enum $name:ident {
            $($(#[$what:meta])* $variant:ident),* $(,)?
        }
        $(#[$of_all:meta])*
        $all_seen:vis const ALL;
    ) => {
        $(#[$about])*
        $seen enum $name {
            $($(#[$what])* $variant),*
        }

        impl $name {
            $(#[$of_all])*
            $all_seen const ALL: &[Self] = &[$(Self::$variant),*];
        }
    };
}

pub(crate) use variants;
