// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDisputes} from "../../src/interfaces/IDisputes.sol";
import {IInferenceConsumer} from "../../src/interfaces/IInferenceConsumer.sol";
import {Policy} from "../../src/libraries/Policy.sol";
import {CallbackStatus, Delivery, Evidence, Request, Status} from "../../src/libraries/Types.sol";
import {Coprocessor, Deployment, FraudProofs, OperatorRegistry, TruthVerifier} from "../Deployment.sol";
import {TokenDeployment} from "../TokenDeployment.sol";
import {bound, vm} from "../Vm.sol";
import {Court} from "./Court.sol";

/// @dev Fails when told to; reports what it was told to the world.
contract MoodyConsumer is IInferenceConsumer {
    World private immutable WORLD;
    bool public isFailing;

    constructor(World world) {
        WORLD = world;
    }

    function setFailing(bool isFailing_) external {
        isFailing = isFailing_;
    }

    function onInference(bytes32 requestId, bytes calldata output) external {
        WORLD.recordCall(requestId, output);
        require(!isFailing, "a bad day");
    }

    receive() external payable {}
}

/// @title Random people doing random things to a Coprocessor, most of them out of turn; watched after each
/// @notice Every action tries, whatever the state: a refusal is fine, an acceptance must be one the state machine
///         draws.
contract World is Deployment {
    uint256 private constant ACTORS = 4;
    bytes private constant INPUT = "x";

    struct Seen {
        Status status;
        CallbackStatus callback;
        bytes32 outputDigest;
    }

    Request[] private requests;
    mapping(bytes32 id => bool) private isKnown;
    mapping(bytes32 id => Seen) private seenOf;
    mapping(bytes32 id => uint256) private callsOf;
    /// @dev By a proof, or by a ruling.
    mapping(bytes32 id => bool) private isReplaced;
    MoodyConsumer[ACTORS] private consumers;
    Court private court;
    bytes32 private opaque;
    bytes32 private canonical;

    uint256 public mostCallsForOneRequest;
    uint256 public callsBeforeFinal;
    uint256 public forbiddenTransitions;
    uint256 public changedOutputs;
    /// @dev How often each state was reached: a campaign that reaches none proves nothing.
    uint256[6] public reached;
    uint256 public retried;
    uint256 public challenged;

    function setUp() public virtual override {
        super.setUp();
        for (uint256 i; i < ACTORS; ++i) {
            consumers[i] = new MoodyConsumer(this);
        }
        opaque = modelId;
        bytes32[] memory parts = new bytes32[](1);
        parts[0] = models.storeParameters(new bytes(96));
        canonical = models.register(1, "canonical", hex"01", parts, "");
        truth.learn(opaque, INPUT, "one");
        truth.learn(canonical, INPUT, "one");
    }

    // ---- actions ----------------------------------------------------------------------------------------------

    function actAsk(uint256 actor, uint96 feeWei, uint8 k, bool hasWindow, bool wantsCallback) external {
        address requester = address(consumers[actor % ACTORS]);
        bytes32 policy = policyOf(uint8(1 + k % OPERATORS), hasWindow, feeWei);
        modelId = actor & 1 == 0 ? opaque : canonical;
        remember(ask(requester, INPUT, policy, feeWei, wantsCallback ? 200_000 : 0));
        modelId = opaque;
        watch();
    }

    function actSign(uint256 actor, uint96 feeWei, uint8 k, bool hasWindow, uint256 salt) external {
        address requester = vm.addr(requesterKey(actor % ACTORS));
        bytes32 policy = policyOf(uint8(1 + k % OPERATORS), hasWindow, feeWei);
        Request memory asked = nextRequest(requester, INPUT, policy, feeWei, 0);
        asked.nonce = (1 << 128) | salt;
        remember(asked);
    }

    function actDeposit(uint256 actor, uint96 amountWei) external {
        fund(vm.addr(requesterKey(actor % ACTORS)), amountWei);
        watch();
    }

    function actWithdraw(uint256 actor, uint96 amountWei, bool isOperator) external {
        address who = isOperator ? operatorAt(actor % OPERATORS) : vm.addr(requesterKey(actor % ACTORS));
        uint256 boundWei = bound(amountWei, 0, coprocessor.balanceOf(who) + 1);
        vm.prank(who);
        try coprocessor.withdraw(boundWei, payable(address(0xD00D))) {} catch {}
        watch();
    }

    /// @dev Half the time with too few signers, and with one of two different outputs.
    function actDeliver(uint256 which, uint8 signers, bool isOther, uint24 gas_) external {
        if (requests.length == 0) return;
        Request memory asked = requests[which % requests.length];
        bytes memory output = isOther ? bytes("one") : bytes("another");
        Evidence[] memory evidence = evidenceOf(asked, output, signers % (OPERATORS + 1));
        uint256 gasLimit = bound(gas_, 100_000, 2_000_000);
        if (asked.nonce < 1 << 128) {
            try coprocessor.deliver{gas: gasLimit}(asked, INPUT, output, evidence) {} catch {}
        } else {
            bytes memory signature = signatureOf(asked);
            try coprocessor.deliverSigned{gas: gasLimit}(asked, signature, INPUT, output, evidence) {} catch {}
        }
        watch();
    }

    function actDeliverBatch(uint256 which, uint8 signers, uint24 gas_) external {
        if (requests.length == 0) return;
        Delivery[] memory items = new Delivery[](4);
        for (uint256 i; i < items.length; ++i) {
            Request memory asked = requests[addmod(which, i * 7, requests.length)];
            bytes memory signature = asked.nonce < 1 << 128 ? bytes("") : signatureOf(asked);
            items[i] = Delivery(asked, signature, INPUT, "one", evidenceOf(asked, "one", signers % (OPERATORS + 1)));
        }
        try coprocessor.deliverBatch{gas: bound(gas_, 200_000, 8_000_000)}(items) {} catch {}
        watch();
    }

    function actFinalize(uint256 which, uint8 signers, bool isOther) external {
        if (requests.length == 0) return;
        address[] memory paid = new address[](signers % (OPERATORS + 1));
        for (uint256 i; i < paid.length; ++i) {
            paid[i] = operatorAt(i);
        }
        bytes memory output = isOther ? bytes("one") : bytes("another");
        try coprocessor.finalize(requests[which % requests.length], output, paid) {} catch {}
        watch();
    }

    /// @dev With a true proof, or one of a lie; by whoever, for one of the operators.
    function actChallenge(uint256 which, uint8 actor, bool isOther, uint24 gas_) external {
        if (requests.length == 0) return;
        Request memory asked = requests[pendingFrom(which)];
        bytes memory output = isOther ? bytes("one") : bytes("another");
        Evidence memory evidence = proofOf(asked, output, operatorAt(actor % OPERATORS));
        bytes32 id = coprocessor.computeRequestId(asked);
        (Status before,, bytes32 digest, uint64 availableAt) = coprocessor.statusOf(id);
        IDisputes.Outcome outcome = disputes.rulingOf(id).outcome;
        bool isInTime = block.timestamp < availableAt || outcome == IDisputes.Outcome.OPEN;
        try coprocessor.challenge{gas: bound(gas_, 100_000, 2_000_000)}(asked, INPUT, output, evidence) {
            ++challenged;
            isReplaced[id] = digest != keccak256(output);
            if (before != Status.PENDING || !isOther || !isInTime) ++forbiddenTransitions;
            if (!isReplaced[id] && outcome == IDisputes.Outcome.NONE) ++forbiddenTransitions;
        } catch {}
        watch();
    }

    function actRefund(uint256 which) external {
        if (requests.length == 0) return;
        try coprocessor.refund(requests[which % requests.length]) {} catch {}
        watch();
    }

    function actCancel(uint256 which) external {
        if (requests.length == 0) return;
        Request memory asked = requests[which % requests.length];
        vm.prank(asked.requester);
        try coprocessor.cancelSigned(asked) {} catch {}
        watch();
    }

    function actRetry(uint256 which, bool isOther) external {
        if (requests.length == 0) return;
        bytes memory output = isOther ? bytes("one") : bytes("another");
        try coprocessor.retryCallback(requests[failedFrom(which)], output, 250_000) {} catch {}
        watch();
    }

    function actMood(uint256 actor, bool isFailing) external {
        consumers[actor % ACTORS].setFailing(isFailing);
    }

    function actWait(uint16 seconds_) external {
        vm.warp(block.timestamp + seconds_ % 300);
        vm.roll(block.number + seconds_ % 100);
    }

    /// @dev One of the actions above, chosen with all its arguments by `seed`.
    function act(uint256 seed) external {
        (uint256 a, uint256 b) = (seed >> 8 & type(uint32).max, seed >> 40 & type(uint32).max);
        bool isOdd = seed >> 255 == 1;
        bytes[13] memory calls = [
            abi.encodeCall(this.actAsk, (a, uint96(b), uint8(b % 3), isOdd, a % 2 == 0)),
            abi.encodeCall(this.actSign, (a, uint96(b), uint8(b % 3), isOdd, seed >> 128)),
            abi.encodeCall(this.actDeposit, (a, uint96(b * 8))),
            abi.encodeCall(this.actWithdraw, (a, uint96(b), isOdd)),
            abi.encodeCall(this.actDeliver, (a, uint8(b), isOdd, uint24(1_000_000))),
            abi.encodeCall(this.actDeliverBatch, (a, uint8(b), uint24(4_000_000))),
            abi.encodeCall(this.actFinalize, (a, uint8(b), isOdd)),
            abi.encodeCall(this.actRefund, (a)),
            abi.encodeCall(this.actChallenge, (a, uint8(b), isOdd, uint24(1_000_000))),
            abi.encodeCall(this.actCancel, (a)),
            abi.encodeCall(this.actRetry, (a, isOdd)),
            abi.encodeCall(this.actMood, (a, isOdd)),
            abi.encodeCall(this.actWait, (uint16(b)))
        ];
        (bool isSuccess,) = address(this).call(calls[seed % calls.length]);
        require(isSuccess, "an action failed");
    }

    // ---- for the court ----------------------------------------------------------------------------------------

    function terms() internal pure virtual override returns (IDisputes.Terms memory with) {
        with = super.terms();
        (with.drawSeconds, with.commitSeconds, with.revealSeconds, with.auditOneIn) = (300, 300, 300, 3);
    }

    function appoint(Court court_) external {
        court = court_;
        court_.sit(coprocessor, disputes, frauds, operators);
    }

    /// @dev Called by the court after each of its actions.
    function watchFor(bytes32 replaced) external {
        if (replaced != 0) isReplaced[replaced] = true;
        watch();
    }

    function raiseStake(address operator, uint256 amountWei) external {
        raise(operator, amountWei);
    }

    function heldBy(address account) external view returns (uint256) {
        return assetsOf(account);
    }

    function requestAt(uint256 which) external view returns (Request memory) {
        return requests[which % requests.length];
    }

    function pendingAt(uint256 which) external view returns (Request memory) {
        return requests[pendingFrom(which)];
    }

    function count() external view returns (uint256) {
        return requests.length;
    }

    // ---- watching ---------------------------------------------------------------------------------------------

    /// @dev Called by the consumers; undone with them when they fail, so only successful calls are counted.
    function recordCall(bytes32 id, bytes calldata output) external {
        require(isConsumer(msg.sender), "not a consumer");
        (Status status,, bytes32 outputDigest,) = coprocessor.statusOf(id);
        if (status != Status.FINAL || outputDigest != keccak256(output)) ++callsBeforeFinal;
        if (++callsOf[id] > mostCallsForOneRequest) mostCallsForOneRequest = callsOf[id];
    }

    function watch() private {
        for (uint256 i; i < requests.length; ++i) {
            bytes32 id = coprocessor.computeRequestId(requests[i]);
            Seen storage seen = seenOf[id];
            (Status status, CallbackStatus callback, bytes32 outputDigest,) = coprocessor.statusOf(id);
            bool isSigned = requests[i].nonce >= 1 << 128;
            if (!isAllowed(isSigned, seen.status, status)) ++forbiddenTransitions;
            if (!isAllowedCallback(seen.callback, callback)) ++forbiddenTransitions;
            if (seen.outputDigest != 0 && seen.outputDigest != outputDigest) {
                // Once, from pending to final, by a challenge or a ruling; or taken back by a ruling.
                bool isFair = seen.status == Status.PENDING
                    && (status == Status.FINAL ? isReplaced[id] : status == Status.REFUNDED && outputDigest == 0);
                if (!isFair) ++changedOutputs;
            }
            if (status != seen.status) ++reached[uint256(status)];
            if (callback == CallbackStatus.SUCCEEDED && seen.callback == CallbackStatus.FAILED) ++retried;
            if (Policy.isDisputable(requests[i].policy)) court.look(id, seen.status, status, isReplaced[id]);
            else if (seen.status == Status.PENDING && status == Status.REFUNDED) ++forbiddenTransitions;
            seenOf[id] = Seen(status, callback, outputDigest);
        }
    }

    function isAllowed(bool isSigned, Status from, Status to) private pure returns (bool) {
        if (from == to) return true;
        if (from == Status.NONE && isSigned) {
            return to == Status.PENDING || to == Status.FINAL || to == Status.CANCELLED;
        }
        if (from == Status.NONE) return to == Status.REQUESTED;
        if (from == Status.REQUESTED) return to == Status.PENDING || to == Status.FINAL || to == Status.REFUNDED;
        return from == Status.PENDING && (to == Status.FINAL || to == Status.REFUNDED);
    }

    /// @dev Several calls can lie between two looks only in one direction; RUNNING is never seen from outside.
    function isAllowedCallback(CallbackStatus from, CallbackStatus to) private pure returns (bool) {
        if (to == CallbackStatus.RUNNING) return false;
        if (from == to || from == CallbackStatus.NONE) return true;
        return from == CallbackStatus.FAILED && to == CallbackStatus.SUCCEEDED;
    }

    // ---- for who acts beside it (Network.sol) -----------------------------------------------------------------

    function deployed()
        external
        view
        returns (Coprocessor, OperatorRegistry, FraudProofs, TruthVerifier, bytes32 modelId_)
    {
        return (coprocessor, operators, frauds, truth, modelId);
    }

    function requestFrom(uint256 which) external view returns (bool isAny, Request memory asked) {
        isAny = requests.length != 0;
        if (isAny) asked = requests[which % requests.length];
    }

    /// @dev A request that was made by a contract beside this one. A campaign's callers, which have no code, make none.
    function join(Request calldata asked) external {
        if (msg.sender.code.length != 0) remember(asked);
        watch();
    }

    function look() external {
        watch();
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    /// @dev Half of those with a window are disputable.
    function policyOf(uint8 k, bool hasWindow, uint96 feeWei) private pure returns (bytes32) {
        if (!hasWindow) return quorumPolicy(k, 0);
        return feeWei % 2 == 0 ? disputablePolicy(k, 600) : quorumPolicy(k, 600);
    }

    function remember(Request memory asked) private {
        bytes32 id = coprocessor.computeRequestId(asked);
        if (isKnown[id]) return;
        isKnown[id] = true;
        requests.push(asked);
    }

    function isConsumer(address account) private view returns (bool isFound) {
        for (uint256 i; i < ACTORS; ++i) {
            isFound = isFound || account == address(consumers[i]);
        }
    }

    /// @dev The first request from `which` on whose callback failed; `which` itself when there is none.
    function failedFrom(uint256 which) private view returns (uint256 index) {
        for (uint256 i; i < requests.length; ++i) {
            index = addmod(which, i, requests.length);
            if (seenOf[coprocessor.computeRequestId(requests[index])].callback == CallbackStatus.FAILED) return index;
        }
        return which % requests.length;
    }

    /// @dev The first request from `which` on that is pending within its window; `which` itself when there is none.
    function pendingFrom(uint256 which) private view returns (uint256 index) {
        for (uint256 i; i < requests.length; ++i) {
            index = addmod(which, i, requests.length);
            (Status status,,, uint64 availableAt) = coprocessor.statusOf(coprocessor.computeRequestId(requests[index]));
            if (status == Status.PENDING && block.timestamp < availableAt) return index;
        }
        return which % requests.length;
    }

    function requesterKey(uint256 actor) private pure returns (uint256) {
        return uint256(keccak256(abi.encode("requester", actor)));
    }

    function signatureOf(Request memory asked) private view returns (bytes memory) {
        for (uint256 i; i < ACTORS; ++i) {
            if (vm.addr(requesterKey(i)) != asked.requester) continue;
            return signDigest(requesterKey(i), coprocessor.computeRequestId(asked));
        }
        revert("nobody's request");
    }
}

/// @title The same people in a deployment that settles in a token
contract TokenWorld is World, TokenDeployment {
    function setUp() public override(World, Deployment) {
        World.setUp();
    }

    function terms() internal pure override(Deployment, World) returns (IDisputes.Terms memory) {
        return World.terms();
    }

    function deployAsset() internal override(Deployment, TokenDeployment) returns (address) {
        return TokenDeployment.deployAsset();
    }

    function stake(address operator, uint8 index, address signer, bytes memory possession)
        internal
        override(Deployment, TokenDeployment)
    {
        TokenDeployment.stake(operator, index, signer, possession);
    }

    function raise(address operator, uint256 amountWei) internal override(Deployment, TokenDeployment) {
        TokenDeployment.raise(operator, amountWei);
    }

    function fund(address account, uint256 amountWei) internal override(Deployment, TokenDeployment) {
        TokenDeployment.fund(account, amountWei);
    }

    function askAndPay(Request memory asked, bytes memory input)
        internal
        override(Deployment, TokenDeployment)
        returns (bytes32 id)
    {
        return TokenDeployment.askAndPay(asked, input);
    }

    function assetsOf(address account) internal view override(Deployment, TokenDeployment) returns (uint256) {
        return TokenDeployment.assetsOf(account);
    }
}
