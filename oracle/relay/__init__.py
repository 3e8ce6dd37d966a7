"""The relay: follows the chain, collects claims, and delivers evidence through a durable outbox. The page is docs/relay.md."""
