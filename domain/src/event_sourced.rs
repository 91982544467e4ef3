//! The glue between a pure aggregate and cqrs-es, written once.

/// Defines an event enum whose stored names and versions are literals, never derived from Rust names.
///
/// Each variant holds the struct of the same name. The stored payload is that struct under its stored name. `by` says
/// who makes the event happen; each `from .. through ..` names an older version, oldest first, and the upcaster from
/// it to the next.
macro_rules! events {
    ($(#[doc = $doc:literal])* pub enum $name:ident {
        $($variant:ident = $stored:literal $version:literal by $emitter:literal
            $(from $older:literal through $upcast:ident)*,)+
    }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[allow(clippy::large_enum_variant, reason = "events are handled one at a time")]
        pub enum $name {
            $(
                #[doc = concat!("Stored as `", $stored, "`, version ", $version, ".")]
                #[serde(rename = $stored)]
                $variant($variant),
            )+
        }

        impl $name {
            /// What these events are about.
            pub const ABOUT: &'static str = concat!($($doc),*);

            /// Every kind of event of this aggregate.
            pub const KINDS: &'static [crate::evolution::Kind] = &[$(crate::evolution::Kind {
                name: $stored,
                version: $version,
                older: &[$(crate::evolution::Older { version: $older, upcast: $upcast },)*],
                emitted_by: $emitter,
                schema: |generator| generator.subschema_for::<$variant>(),
            },)+];
        }

        impl cqrs_es::DomainEvent for $name {
            fn event_type(&self) -> String {
                match self { $(Self::$variant(_) => $stored.to_owned(),)+ }
            }

            fn event_version(&self) -> String {
                match self { $(Self::$variant(_) => $version.to_owned(),)+ }
            }
        }

        $(
            impl From<$variant> for $name {
                fn from(event: $variant) -> Self {
                    Self::$variant(event)
                }
            }
        )+
    };
}

/// Joins a pure aggregate (`decide`, `apply`) to cqrs-es under its stored type name.
macro_rules! event_sourced {
    ($aggregate:ty, $stored:literal, $command:ty, $event:ty, $refusal:ty) => {
        impl cqrs_es::Aggregate for $aggregate {
            const TYPE: &'static str = $stored;
            type Command = $command;
            type Event = $event;
            type Error = $refusal;
            type Services = ();

            async fn handle(
                &mut self,
                command: $command,
                (): &(),
                sink: &cqrs_es::event_sink::EventSink<Self>,
            ) -> Result<(), $refusal> {
                for event in self.decide(command)? {
                    sink.write(event, self).await;
                }
                Ok(())
            }

            fn apply(&mut self, event: $event) {
                Self::apply(self, event);
            }
        }
    };
}

pub(crate) use {event_sourced, events};

/// Given/when/then for an aggregate, in the words of its rules.
#[cfg(test)]
pub(crate) mod testing {
    use cqrs_es::Aggregate;

    /// The aggregate after `events`.
    pub fn given<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> A {
        let mut aggregate = A::default();
        for event in events {
            Aggregate::apply(&mut aggregate, event);
        }
        aggregate
    }
}
