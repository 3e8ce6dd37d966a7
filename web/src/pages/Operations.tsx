/** The operator's page: nodes, the relay's queue, stake, anchors. */

import type { Operations } from "../app/api";
import { get } from "../app/client";
import { useLoading } from "../app/loading";
import { count, duration, etherDown } from "../app/words";
import { Digest } from "../parts/Digest";
import { Page, Section } from "../parts/Page";
import { Empty, Loaded, Permitted } from "../parts/States";
import { Status } from "../parts/Status";
import { Table } from "../parts/Table";

export function OperationsPage() {
  return (
    <Permitted right="operations">
      <Content />
    </Permitted>
  );
}

function Content() {
  const { loading, reload } = useLoading("operations", (signal) => get<Operations>("/operations", {}, signal));
  return (
    <Page
      title="Operations"
      actions={
        <button type="button" class="quiet" onClick={reload}>
          Refresh
        </button>
      }
    >
      <Loaded loading={loading} reload={reload}>
        {(operations) => (
          <>
            <Nodes operations={operations} />
            <Queue operations={operations} />
            <Operators operations={operations} />
            <Anchors operations={operations} />
          </>
        )}
      </Loaded>
    </Page>
  );
}

function Nodes({ operations: { nodes } }: { operations: Operations }) {
  return (
    <Section title="Nodes">
      {nodes.length === 0 ? (
        <Empty>No node is known to this process.</Empty>
      ) : (
        <Table
          caption="Nodes"
          rows={nodes}
          rowKey={(node) => node.url}
          columns={[
            { name: "Node", isMain: true, cell: (node) => <code>{node.url}</code> },
            {
              name: "State",
              cell: (node) => (
                <Status tone={node.is_ready ? "good" : "bad"}>{node.is_ready ? "Ready" : `Not ready: ${node.detail}`}</Status>
              ),
            },
          ]}
        />
      )}
    </Section>
  );
}

function Queue({ operations: { relay } }: { operations: Operations }) {
  const states = Object.entries(relay.states).filter(([, number]) => number > 0);
  return (
    <Section
      title="The relay's queue"
      {...(relay.oldest_seconds !== null
        ? { note: `The oldest unfinished request is ${duration(relay.oldest_seconds)} old.` }
        : { note: "Nothing waits." })}
    >
      {states.length > 0 && (
        <Table
          caption="Requests by state"
          rows={states}
          rowKey={([state]) => state}
          columns={[
            { name: "State", isMain: true, cell: ([state]) => state.replaceAll("_", " ").toLowerCase() },
            { name: "Requests", isNumber: true, cell: ([, number]) => count(number) },
          ]}
        />
      )}
    </Section>
  );
}

function Operators({ operations: { operators } }: { operations: Operations }) {
  return (
    <Section title="Operators and stake">
      {operators.length === 0 ? (
        <Empty>No operator is registered.</Empty>
      ) : (
        <Table
          caption="Operators"
          rows={operators}
          rowKey={(operator) => operator.index}
          columns={[
            { name: "Operator", isMain: true, cell: (operator) => operator.index },
            { name: "Address", cell: (operator) => <Digest value={operator.address} label={`address of operator ${operator.index}`} /> },
            {
              name: "Signs with",
              cell: (operator) => <Digest value={operator.signer} label={`signing key of operator ${operator.index}`} />,
            },
            { name: "Stake", isNumber: true, cell: (operator) => etherDown(operator.stake_wei) },
            {
              name: "State",
              cell: (operator) => (
                <Status tone={operator.is_active ? "good" : "warn"}>{operator.is_active ? "Active" : "Not active"}</Status>
              ),
            },
          ]}
        />
      )}
    </Section>
  );
}

function Anchors({ operations: { anchors } }: { operations: Operations }) {
  return (
    <Section title="Anchors">
      {anchors.length === 0 ? (
        <Empty>This log has no anchor yet.</Empty>
      ) : (
        <Table
          caption="Anchors"
          rows={anchors}
          rowKey={(anchor) => anchor.transaction}
          columns={[
            { name: "Records", isMain: true, isNumber: true, cell: (anchor) => count(anchor.size) },
            { name: "Block", isNumber: true, cell: (anchor) => count(anchor.block_number) },
            { name: "Root", cell: (anchor) => <Digest value={anchor.root} label="root" /> },
            { name: "Transaction", cell: (anchor) => <Digest value={anchor.transaction} label="transaction" /> },
          ]}
        />
      )}
    </Section>
  );
}
