"""A small chain in memory: `oracle.seams.ChainReader` with blocks, a mempool, reorganisations and outages.

It runs the contracts of `tests/twins/coprocessor.py`, takes real calldata, and keeps one copy of the state per block, so that
`reorg(depth)` is exact. Time moves only when a block is mined. Not a mock: a claim with a wrong signature is refused here as on chain.

    chain = ChainTwin()
    chain.register_operator(0, signer=key.address)
    model_id = chain.register_model(ModelKind.OPAQUE, manifest_digest)
    asked = chain.ask(model_id, b"input", fee_wei=10)        # mined in a block of its own
    chain.send(relay, delivery_call(delivery)); chain.mine()
    chain.reorg(2)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from oracle.encoding import compute_part_digest, compute_request_id, keccak256, pack_policy, unpack_policy
from oracle.errors import ChainError, MalformedInput, PolicyRejected
from oracle.records import (
    Address,
    Anchor,
    Asked,
    Asks,
    Block,
    Bytes32,
    Claim,
    Delivery,
    Domain,
    EnclaveKey,
    Evidence,
    ModelKind,
    OnChainStatus,
    Operator,
    Policy,
    Quote,
    RegisteredModel,
    Request,
    TransactionReceipt,
)
from oracle.relay.failures import CallReverted
from oracle.seams import BlockTag
from tests.twins.coprocessor import Effects, Revert, World, address, deliveries_of, encode_call

START_TIME = 1_800_000_000
COPROCESSOR = address("0x" + "c0" * 20)
DEPLOYER = address("0x" + "de" * 20)
CONSUMER = address("0x" + "ca" * 20)
ONE_OF_ANY = Policy(quorum=1)


@dataclass(frozen=True)
class Transaction:
    """Something in the mempool, known by its hash. `action` stands for calls to other contracts than the Coprocessor."""

    sender: Address
    nonce: int
    data: bytes
    value_wei: int = 0
    action: Callable[[World], None] | None = None

    @property
    def hash(self) -> Bytes32:
        parts = (self.sender.encode(), self.nonce.to_bytes(8, "big"), self.value_wei.to_bytes(32, "big"), self.data)
        return keccak256(b"".join(parts))


@dataclass
class Mined:
    """One block with what is in it and the state after it."""

    block: Block
    world: World
    transactions: list[Transaction] = field(default_factory=list)
    receipts: list[TransactionReceipt] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    anchors: list[Anchor] = field(default_factory=list)


class ChainTwin:
    """The chain. `finality_depth` says how far "safe" and "finalized" are behind the head."""

    def __init__(self, chain_id: int = 31337, finality_depth: int = 2, seconds_per_block: int = 12) -> None:
        self._domain = Domain(chain_id, COPROCESSOR)
        self.finality_depth = finality_depth
        self.seconds_per_block = seconds_per_block
        self.is_down = False
        self.has_disputes = True
        self.enclaves: dict[Address, EnclaveKey] = {}
        self.mempool: list[Transaction] = []
        self._salt = 0
        genesis = Block(0, keccak256(b"genesis"), Bytes32(bytes(32)), START_TIME)
        self.chain: list[Mined] = [Mined(genesis, World(self._domain))]

    # ---- driving it -----------------------------------------------------------------------------------------------
    @property
    def head(self) -> Mined:
        return self.chain[-1]

    @property
    def time(self) -> int:
        """Timestamp of the newest block."""
        return self.head.block.timestamp

    @property
    def world(self) -> World:
        return self.head.world

    def nonce_of(self, sender: Address, pending: bool = False) -> int:
        """Transactions mined, or with `pending` also those queued without a gap."""
        nonce = self.world.nonces.get(sender, 0)
        queued = {t.nonce for t in self.mempool if t.sender == sender}
        while pending and nonce in queued:
            nonce += 1
        return nonce

    def send(
        self,
        sender: Address,
        data: bytes,
        value_wei: int = 0,
        nonce: int | None = None,
        action: Callable[[World], None] | None = None,
    ) -> Bytes32:
        """Queues a transaction and returns its hash. One of the same sender and nonce is replaced, as by a higher fee."""
        self._require_up()
        nonce = self.nonce_of(sender, pending=True) if nonce is None else nonce
        if nonce < self.nonce_of(sender):
            raise ChainError("nonce too low") from ValueError(f"nonce {nonce}")
        transaction = Transaction(sender, nonce, data, value_wei, action)
        self.mempool = [t for t in self.mempool if (t.sender, t.nonce) != (sender, nonce)] + [transaction]
        return transaction.hash

    def drop(self, transaction: Bytes32) -> None:
        """Forgets a queued transaction, as a node under pressure does."""
        self.mempool = [t for t in self.mempool if t.hash != transaction]

    def mine(self, count: int = 1, seconds: int | None = None) -> Block:
        """Mines blocks, the first one `seconds` after the head with all executable transactions. Returns the new head."""
        for position in range(count):
            self._mine_one(self.seconds_per_block if seconds is None or position else seconds)
        return self.head.block

    def reorg(self, depth: int, keep_transactions: bool = False) -> list[Block]:
        """Replaces the last `depth` blocks by as many others and one more (a longer chain). Returns the blocks that vanished.

        Their transactions are gone, or mined again in the first new block with `keep_transactions`.
        """
        dropped = self.chain[-depth:]
        if not 0 < depth < len(self.chain):
            raise ValueError(f"depth {depth} with {len(self.chain)} blocks")
        del self.chain[-depth:]
        self._salt += 1
        if keep_transactions:
            self.mempool = [t for mined in dropped for t in mined.transactions] + self.mempool
        self.mine(depth + 1)
        return [mined.block for mined in dropped]

    def _mine_one(self, seconds: int) -> None:
        parent = self.head.block
        world, time = self.world.copy(), parent.timestamp + seconds
        ready = self._take_ready()
        seed = parent.hash + self._salt.to_bytes(8, "big") + time.to_bytes(8, "big") + b"".join(t.hash for t in ready)
        mined = Mined(Block(parent.number + 1, keccak256(seed), parent.hash, time), world, ready)
        for transaction in ready:
            self._execute(mined, transaction)
        self.chain.append(mined)

    def _take_ready(self) -> list[Transaction]:
        ready: list[Transaction] = []
        nonces = dict(self.world.nonces)
        progress = True
        while progress:
            progress = False
            for transaction in list(self.mempool):
                if transaction.nonce == nonces.get(transaction.sender, 0):
                    ready.append(transaction)
                    self.mempool.remove(transaction)
                    nonces[transaction.sender] = transaction.nonce + 1
                    progress = True
        self.mempool = [t for t in self.mempool if t.nonce >= nonces.get(t.sender, 0)]
        return ready

    def _execute(self, mined: Mined, transaction: Transaction) -> None:
        attempt, effects, is_success = mined.world.copy(), Effects(), True
        try:
            if transaction.action is not None:
                transaction.action(attempt)
            else:
                effects = attempt.call(transaction.sender, transaction.data, transaction.value_wei, mined.block.timestamp)
            mined.world = attempt
        except Revert:
            is_success = False
        mined.world.nonces[transaction.sender] = transaction.nonce + 1
        block = mined.block
        receipt = TransactionReceipt(transaction.hash, block.number, block.hash, is_success, 100_000)
        mined.receipts.append(
            replace(receipt, delivered=tuple(effects.delivered), items=tuple(effects.items), finalized=tuple(effects.finalized))
        )
        for request, request_id, data in effects.asked:
            mined.asked.append(Asked(request_id, request, data, b"", block.number, block.hash, transaction.hash))

    # ---- setting the scene ---------------------------------------------------------------------------------------------
    def act(self, action: Callable[[World], None]) -> None:
        """Mines a block with a change made by the deployer."""
        nonce = self.nonce_of(DEPLOYER, pending=True)
        self.send(DEPLOYER, f"action {self._salt} {nonce}".encode(), nonce=nonce, action=action)
        self.mine()

    def register_operator(self, index: int, signer: Address, operator: Address | None = None, is_active: bool = True) -> Operator:
        row = Operator(index, operator or address("0x" + keccak256(signer.encode())[:20].hex()), signer, 10**18, is_active)
        self.act(lambda world: world.operators.__setitem__(index, row))
        return row

    def set_operator_active(self, index: int, is_active: bool) -> None:
        self.act(lambda world: world.operators.__setitem__(index, replace(world.operators[index], is_active=is_active)))

    def register_model(
        self, kind: ModelKind, manifest_digest: Bytes32, circuit: bytes = b"", parts: Sequence[bytes] = (), uri: str = ""
    ) -> Bytes32:
        parameters = tuple(compute_part_digest(part) for part in parts)

        def action(world: World) -> None:
            world.register_model(kind, manifest_digest, circuit, parameters, DEPLOYER, uri)

        self.act(action)
        return next(m.model_id for m in self.world.models.values() if m.manifest_digest == manifest_digest)

    def deprecate_model(self, model_id: Bytes32) -> None:
        self.act(lambda world: world.models.__setitem__(model_id, replace(world.models[model_id], is_active=False)))

    def deploy_consumer(self, account: Address = CONSUMER, reverts: bool = False) -> Address:
        """Puts code at `account`: its callback is called and succeeds, or reverts."""

        def action(world: World) -> None:
            world.callbacks.setdefault(account, [])
            world.reverting = world.reverting | {account} if reverts else world.reverting - {account}

        self.act(action)
        return account

    def deploy_wallet(self, account: Address, accepted: frozenset[tuple[bytes, bytes]]) -> Address:
        """Puts an ERC-1271 wallet at `account` which accepts exactly these (digest, signature)."""
        self.act(lambda world: world.wallets.__setitem__(account, accepted))
        return account

    def deposit(self, account: Address, amount_wei: int) -> None:
        self.send(account, encode_call("deposit"), amount_wei)
        self.mine()

    def queue_request(
        self,
        model_id: Bytes32,
        data: bytes,
        policy: Policy = ONE_OF_ANY,
        fee_wei: int = 0,
        deadline: int | None = None,
        sender: Address = CONSUMER,
        callback_gas: int = 0,
    ) -> Bytes32:
        """Sends `request`, not mined yet; returns the transaction's hash."""
        deadline = self.time + 3600 if deadline is None else deadline
        call = encode_call("request", model_id, data, pack_policy(policy), callback_gas, deadline, sender)
        return self.send(sender, call, fee_wei)

    def ask(
        self,
        model_id: Bytes32,
        data: bytes,
        policy: Policy = ONE_OF_ANY,
        fee_wei: int = 0,
        deadline: int | None = None,
        sender: Address = CONSUMER,
        callback_gas: int = 0,
    ) -> Asked:
        """A request mined in a block of its own. Raises AssertionError where the contract refuses it."""
        transaction = self.queue_request(model_id, data, policy, fee_wei, deadline, sender, callback_gas)
        self.mine()
        found = [asked for asked in self.head.asked if asked.transaction == transaction]
        assert found, "the contract refused the request"
        return found[0]

    def anchor(self, log_id: Bytes32, size: int, root: Bytes32) -> Anchor:
        """An accepted anchor in a block of its own; its consistency proof is the business of AuditAnchor's own tests."""
        self.mine()
        block = self.head.block
        anchor = Anchor(log_id, size, root, block.number, block.hash, keccak256(log_id + root + block.hash))
        self.head.anchors.append(anchor)
        return anchor

    # ---- ChainReader ------------------------------------------------------------------------------------------------------
    def _require_up(self) -> None:
        if self.is_down:
            raise ChainError("the RPC did not answer") from ConnectionRefusedError("twin is down")

    def _mined(self, which: int | BlockTag) -> Mined | None:
        number = which if isinstance(which, int) else self._tagged(which)
        return self.chain[number] if 0 <= number < len(self.chain) else None

    def _tagged(self, tag: BlockTag) -> int:
        return self.head.block.number if tag == "latest" else max(0, self.head.block.number - self.finality_depth)

    @property
    def domain(self) -> Domain:
        return self._domain

    def block(self, which: int | BlockTag) -> Block | None:
        self._require_up()
        mined = self._mined(which)
        return mined.block if mined else None

    def requested_in(self, block_hash: Bytes32) -> list[Asked]:
        self._require_up()
        for mined in self.chain:
            if mined.block.hash == block_hash:
                assert all(compute_request_id(a.request, self._domain) == a.request_id for a in mined.asked)
                return list(mined.asked)
        raise ChainError("unknown block") from LookupError(block_hash.hex())

    def blocks(self, numbers: Sequence[int]) -> list[Block | None]:
        return [self.block(number) for number in numbers]

    def requested_in_each(self, block_hashes: Sequence[Bytes32]) -> list[list[Asked]]:
        return [self.requested_in(block_hash) for block_hash in block_hashes]

    def statuses_of(self, request_ids: Sequence[Bytes32]) -> list[OnChainStatus]:
        return [self.status_of(request_id) for request_id in request_ids]

    def status_of(self, request_id: Bytes32) -> OnChainStatus:
        self._require_up()
        return self.world.status(request_id)

    def balance_of(self, account: Address) -> int:
        self._require_up()
        return self.world.balances.get(account, 0)

    def is_valid_signature(self, request: Request, signature: bytes) -> bool:
        self._require_up()
        return self.world.is_signed_by(request.requester, compute_request_id(request, self._domain), signature)

    def has_code(self, account: Address) -> bool:
        self._require_up()
        return account in self.world.wallets or account in self.world.callbacks

    def operator_of(self, signer: Address) -> Address | None:
        self._require_up()
        ever = [o for mined in self.chain for o in mined.world.operators.values()]
        return next((o.operator for o in ever if o.signer == signer), None)

    def asks_of(self, operator: Address, model_id: Bytes32) -> Asks | None:
        self._require_up()
        return self.world.asks.get((operator, model_id))

    def asks_of_all(self, operators: Sequence[Address], model_id: Bytes32) -> list[Asks | None]:
        return [self.asks_of(operator, model_id) for operator in operators]

    def quote(self, model_id: Bytes32, policy: Bytes32) -> Quote:
        """In plain words what FeeQuotes.sol says fast: of each kind the cheapest that are demanded, the dearest of them for everyone."""
        self._require_up()
        wanted = unpack_policy(policy)
        active = [o.operator for o in self.operators() if o.is_active]
        asks = [found for operator in active if (found := self.world.asks.get((operator, model_id))) is not None]
        demands = {"signature_wei": wanted.quorum, "proof_wei": int(wanted.proof), "enclave_wei": int(wanted.enclave)}
        share_wei = 0
        for name, count in demands.items():
            amounts = sorted(wei for one in asks if (wei := getattr(one, name)) is not None)
            if len(amounts) < count:
                raise PolicyRejected("policy", "one that enough active operators posted a price for", f"{len(amounts)}")
            share_wei = max([share_wei, *amounts[:count]])
        shares = sum(demands.values())
        return Quote(shares * share_wei, share_wei, shares)

    def operators(self, block_number: int | None = None) -> list[Operator]:
        self._require_up()
        mined = self.head if block_number is None else self._mined(block_number)
        if mined is None:
            raise ChainError("unknown block") from LookupError(str(block_number))
        return [mined.world.operators[index] for index in sorted(mined.world.operators)]

    def model(self, model_id: Bytes32) -> RegisteredModel | None:
        self._require_up()
        return self.world.models.get(model_id)

    def circuit(self, model_id: Bytes32) -> bytes:
        self._require_up()
        return self.world.circuits.get(model_id, b"")

    def receipt(self, transaction: Bytes32) -> TransactionReceipt | None:
        self._require_up()
        return next((r for mined in self.chain for r in mined.receipts if r.transaction == transaction), None)

    def transaction_data(self, transaction: Bytes32) -> tuple[Address, bytes] | None:
        self._require_up()
        known = [t for mined in self.chain for t in mined.transactions] + self.mempool
        return next(((COPROCESSOR, t.data) for t in known if t.hash == transaction), None)

    def deliveries_in(self, calldata: bytes) -> list[Delivery]:
        deliveries = deliveries_of(calldata, self._domain)
        if deliveries is None:
            raise MalformedInput("calldata", "deliver, deliverSigned or deliverBatch", calldata[:4].hex())
        return deliveries

    def delivery_of(self, request_id: Bytes32) -> TransactionReceipt | None:
        self._require_up()
        receipts = [r for mined in self.chain for r in mined.receipts]
        return next((r for r in receipts if any(d.request_id == request_id for d in r.delivered)), None)

    def replacement_of(self, request_id: Bytes32) -> TransactionReceipt | None:
        self._require_up()
        return None  # nobody challenges here

    def check_proof(self, claim: Claim, data: bytes, output: bytes, evidence: Evidence) -> tuple[Address, ...]:
        self._require_up()
        try:
            return (self.world.verify_proof(claim, data, output, evidence),)
        except Revert as revert:
            raise CallReverted(str(revert), "") from revert

    def enclave_key(self, key: Address, block_number: int | None = None) -> EnclaveKey | None:
        self._require_up()
        return self.enclaves.get(key)

    def enclave_keys(self) -> list[EnclaveKey]:
        self._require_up()
        return list(self.enclaves.values())

    def check_enclave(self, claim: Claim, policy: Bytes32, evidence: Evidence) -> tuple[Address, ...]:
        self._require_up()
        raise CallReverted("SelectorUnknown", "(no enclaves here)")

    def anchors(self, log_id: Bytes32) -> Sequence[Anchor]:
        self._require_up()
        return [a for mined in self.chain for a in mined.anchors if a.log_id == log_id]
