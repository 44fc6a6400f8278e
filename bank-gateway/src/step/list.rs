//! A list of steps as one step: the requests pass them from top to bottom, the answers from bottom to top.

/// One step of a list, for one request.
#[derive(Debug, Default)]
pub(crate) struct Place<H> {
    pub(crate) held: H,
    /// Whether the request has passed it, so that it sees the answer.
    pub(crate) passed: bool,
    /// Whether the request waits in it.
    pub(crate) waits: bool,
}

/// Declares a list of steps: a struct of them in their order, and the step that they are together.
macro_rules! steps {
    (
        $(#[$meta:meta])*
        pub struct $name:ident, $held:ident {
            $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone)]
        #[allow(missing_debug_implementations, reason = "its steps are shown by themselves")]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)+
        }

        /// What these steps keep of one request.
        #[derive(Default)]
        #[allow(missing_debug_implementations, reason = "it lives as long as one request")]
        pub struct $held {
            $($field: $crate::step::list::Place<<$type as $crate::step::Step>::Held>,)+
        }

        impl $crate::step::Step for $name {
            type Held = $held;
            const GUARDS: bool = false $(|| <$type as $crate::step::Step>::GUARDS)+;
            const BOUNDS: bool = false $(|| <$type as $crate::step::Step>::BOUNDS)+;
            const IS_LIST: bool = true;

            fn before(
                &self,
                exchange: &mut $crate::Exchange,
                held: &mut $held,
            ) -> Result<$crate::step::Flow, $crate::step::Refusal> {
                $(
                    if !held.$field.passed {
                        match self.$field.before(exchange, &mut held.$field.held)? {
                            $crate::step::Flow::Pass => held.$field.passed = true,
                            $crate::step::Flow::Wait => {
                                held.$field.waits = true;
                                return Ok($crate::step::Flow::Wait);
                            }
                        }
                    }
                )+
                Ok($crate::step::Flow::Pass)
            }

            fn poll_wait(
                &self,
                cx: &mut std::task::Context<'_>,
                exchange: &mut $crate::Exchange,
                held: &mut $held,
            ) -> std::task::Poll<Result<(), $crate::step::Refusal>> {
                loop {
                    $(
                        if held.$field.waits {
                            std::task::ready!(self.$field.poll_wait(cx, exchange, &mut held.$field.held))?;
                            held.$field.waits = false;
                            held.$field.passed = true;
                        }
                    )+
                    if self.before(exchange, held)? == $crate::step::Flow::Pass {
                        return std::task::Poll::Ready(Ok(()));
                    }
                }
            }

            fn after(&self, mut held: $held, facts: &$crate::Facts, answer: &mut $crate::step::Answer) {
                $crate::step::list::steps!(@after self, held, facts, answer; $($field: $type,)+);
            }
        }
    };
    (
        @after $self:ident, $held:ident, $facts:ident, $answer:ident;
        $first:ident: $type:ty, $($rest:ident: $rest_type:ty,)*
    ) => {
        $crate::step::list::steps!(@after $self, $held, $facts, $answer; $($rest: $rest_type,)*);
        if $held.$first.passed || <$type as $crate::step::Step>::IS_LIST {
            $self.$first.after(std::mem::take(&mut $held.$first.held), $facts, $answer);
        }
    };
    (@after $self:ident, $held:ident, $facts:ident, $answer:ident;) => {};
}
pub(crate) use steps;
