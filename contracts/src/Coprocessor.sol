// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {Balances} from "./Balances.sol";
import {Treasury} from "./Treasury.sol";
import {ICoprocessor} from "./interfaces/ICoprocessor.sol";
import {IDisputes} from "./interfaces/IDisputes.sol";
import {IInferenceConsumer} from "./interfaces/IInferenceConsumer.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {IVerifier} from "./interfaces/IVerifier.sol";
import {IVerifierRouter} from "./interfaces/IVerifierRouter.sol";
import {BatchCodes} from "./libraries/BatchCodes.sol";
import {BoundedCall} from "./libraries/BoundedCall.sol";
import {Claims} from "./libraries/Claims.sol";
import {FeeSplit} from "./libraries/FeeSplit.sol";
import {Policy} from "./libraries/Policy.sol";
import {RequesterSignature} from "./libraries/RequesterSignature.sol";
import {
    CallbackStatus,
    Claim,
    Delivery,
    Evidence,
    EvidenceKind,
    Request,
    ResultCode,
    Status
} from "./libraries/Types.sol";

/// @title Coprocessor: asks for inferences, accepts answers that carry the demanded evidence
/// @notice Nobody owns it and nothing in it can be changed. It trusts the verifiers its router resolves, under
///         disputable policies the rulings of Disputes, and nobody else.
contract Coprocessor is ICoprocessor, Balances, EIP712 {
    /// @notice Public nodes do not relay a transaction of more than 128 KiB.
    uint256 public constant MAX_INPUT_BYTES = 98_304;
    /// @notice Leaves two thirds of EIP-7825's 16,777,216 to the delivery itself.
    uint32 public constant MAX_CALLBACK_GAS = 5_000_000;
    uint32 public constant MAX_HORIZON_SECONDS = 30 days;
    /// @inheritdoc ICoprocessor
    /// @dev The OperatorRegistry unbonds later than that.
    uint32 public constant MAX_WINDOW_SECONDS = 7 days;
    /// @notice How long after a ruling the output it names can be shown before the request can be refunded instead.
    uint64 public constant OUTPUT_SECONDS = 1 days;
    uint256 public constant SIGNED_NONCE_START = 1 << 128;

    /// @inheritdoc ICoprocessor
    IModelRegistry public immutable MODELS;
    IVerifierRouter public immutable ROUTER;
    /// @inheritdoc ICoprocessor
    IDisputes public immutable DISPUTES;

    /// @dev The whole state of a request; everything else about it is in its id. Transitions, each in one place:
    ///
    ///      NONE ──request──▶ REQUESTED ──deliver, no window──▶ FINAL
    ///                            ├──────deliver, window───▶ PENDING ──finalize, window over──▶ FINAL
    ///                            │                             ├──challenge, before it is due──▶ FINAL, another output
    ///                            │                             ├──applyRuling, replaced──▶ FINAL, another output
    ///                            │                             └──applyRuling, no majority or no output──▶ REFUNDED
    ///                            └──────refund, deadline over──▶ REFUNDED
    ///      NONE ──deliverSigned──▶ FINAL or PENDING            NONE ──cancelSigned──▶ CANCELLED
    ///
    ///      callback: NONE ──FINAL, asked for──▶ RUNNING ──▶ SUCCEEDED, or FAILED ──retryCallback──▶ RUNNING
    struct Record {
        Status status;
        CallbackStatus callback;
        uint64 availableAt;
        /// @dev Set only while PENDING under a disputable policy.
        uint48 deliveredBlock;
        /// @dev Unix seconds; 0 for signed requests: nobody knows on chain when they were asked.
        uint48 requestedAt;
        bytes32 outputDigest;
        /// @dev keccak256(abi.encode(address[])) of who will be paid; set only while PENDING.
        bytes32 beneficiariesDigest;
    }

    mapping(bytes32 requestId => Record) private _records;

    /// @notice The nonce of the next on-chain request.
    uint128 public nextNonce;

    /// @param disputes Created later than this contract, at an address that is known before. Without code there, or
    ///        zero: requests under disputable policies are refused.
    /// @param asset What fees are paid in: the zero address for ether, else one ERC-20 token.
    constructor(IModelRegistry models, IVerifierRouter router, IDisputes disputes, address asset)
        Treasury(asset)
        EIP712("Affidavit", "1")
    {
        MODELS = models;
        ROUTER = router;
        DISPUTES = disputes;
    }

    // ---- asking -----------------------------------------------------------------------------------------------

    /// @inheritdoc ICoprocessor
    /// @dev Not guarded against re-entrancy, on purpose: a callback may ask the next question. It touches only a new
    ///      record.
    function request(
        bytes32 modelId,
        bytes calldata input,
        bytes32 policy,
        uint32 callbackGas,
        uint64 deadline,
        address refundTo
    ) external payable returns (bytes32 requestId) {
        if (msg.value != 0) _requireEther();
        return _ask(modelId, input, policy, msg.value, callbackGas, deadline, refundTo);
    }

    /// @inheritdoc ICoprocessor
    /// @dev Not guarded either: it moves nothing but the caller's own balance.
    function requestFromBalance(
        bytes32 modelId,
        bytes calldata input,
        bytes32 policy,
        uint256 feeWei,
        uint32 callbackGas,
        uint64 deadline,
        address refundTo
    ) external returns (bytes32 requestId) {
        _debit(msg.sender, feeWei);
        return _ask(modelId, input, policy, feeWei, callbackGas, deadline, refundTo);
    }

    function _ask(
        bytes32 modelId,
        bytes calldata input,
        bytes32 policy,
        uint256 feeWei,
        uint32 callbackGas,
        uint64 deadline,
        address refundTo
    ) private returns (bytes32 requestId) {
        if (input.length > MAX_INPUT_BYTES) revert InputTooLong(MAX_INPUT_BYTES, input.length);
        Request memory asked = Request({
            requester: msg.sender,
            refundTo: refundTo,
            modelId: modelId,
            inputDigest: keccak256(input),
            policy: policy,
            feeWei: feeWei,
            callbackGas: callbackGas,
            deadline: deadline,
            nonce: nextNonce
        });
        _requireAcceptable(asked);
        requestId = _requestId(asked);
        ++nextNonce;
        Record storage record = _records[requestId];
        (record.status, record.requestedAt) = (Status.REQUESTED, uint48(block.timestamp));
        emit InferenceRequested(requestId, modelId, msg.sender, asked, input);
    }

    /// @inheritdoc ICoprocessor
    function cancelSigned(Request calldata request_) external nonReentrant {
        if (msg.sender != request_.requester) revert NotRequester(request_.requester, msg.sender);
        if (request_.nonce < SIGNED_NONCE_START) revert NonceTooLow(SIGNED_NONCE_START, request_.nonce);
        bytes32 requestId = _requestId(request_);
        Status status = _records[requestId].status;
        if (status != Status.NONE) revert RequestUsed(requestId, status);
        _records[requestId].status = Status.CANCELLED;
        emit SignedRequestCancelled(requestId, msg.sender);
    }

    /// @inheritdoc ICoprocessor
    function refund(Request calldata request_) external nonReentrant {
        bytes32 requestId = _requestId(request_);
        _requireRequested(requestId);
        if (block.timestamp <= request_.deadline) revert NotExpired(request_.deadline);
        _records[requestId].status = Status.REFUNDED;
        _credit(request_.refundTo, request_.feeWei);
        emit RequestRefunded(requestId, request_.refundTo, request_.feeWei);
    }

    // ---- answering --------------------------------------------------------------------------------------------

    /// @inheritdoc ICoprocessor
    function deliver(
        Request calldata request_,
        bytes calldata input,
        bytes calldata output,
        Evidence[] calldata evidence
    ) external nonReentrant returns (ResultCode) {
        return _deliverRequested(request_, input, output, evidence);
    }

    /// @inheritdoc ICoprocessor
    function deliverSigned(
        Request calldata request_,
        bytes calldata signature,
        bytes calldata input,
        bytes calldata output,
        Evidence[] calldata evidence
    ) external nonReentrant returns (ResultCode) {
        return _deliverSigned(request_, signature, input, output, evidence);
    }

    /// @inheritdoc ICoprocessor
    /// @dev Every item runs in a call of its own, so whatever it did is undone when it fails. An item can burn no more
    ///      than its callback gas, ERC1271_GAS and what its evidence costs.
    ///      WARNING: a batch does not revert for lack of gas, it marks items OUT_OF_GAS; `eth_estimateGas` of a batch
    ///      finds the least gas that delivers nothing. Add up the estimates of `deliver` for each item instead. What
    ///      evidence costs has no bound here: an item of a model made to be costly can burn the gas of those after it,
    ///      so simulate items that strangers hand in.
    function deliverBatch(Delivery[] calldata deliveries) external nonReentrant returns (ResultCode[] memory codes) {
        codes = new ResultCode[](deliveries.length);
        for (uint256 i; i < deliveries.length; ++i) {
            bytes4 reason;
            uint256 keptGas = BatchCodes.GAS_PER_CODE * (deliveries.length - i);
            (codes[i], reason) = BatchCodes.tryItem(abi.encodeCall(this.deliverItem, (deliveries[i])), keptGas);
            emit BatchItem(_requestId(deliveries[i].request), codes[i], reason);
        }
    }

    /// @notice One item of a batch. Only this contract itself may call it; `deliverBatch` holds the re-entrancy guard.
    function deliverItem(Delivery calldata item) external returns (ResultCode) {
        if (msg.sender != address(this)) revert OnlySelf();
        if (item.request.nonce < SIGNED_NONCE_START) {
            return _deliverRequested(item.request, item.input, item.output, item.evidence);
        }
        return _deliverSigned(item.request, item.signature, item.input, item.output, item.evidence);
    }

    /// @inheritdoc ICoprocessor
    /// @dev `beneficiaries` are those of the event InferenceDelivered; only their digest is stored.
    ///      WARNING: a call that forces an audit succeeds and finalizes nothing.
    function finalize(Request calldata request_, bytes calldata output, address[] calldata beneficiaries)
        external
        nonReentrant
    {
        bytes32 requestId = _requestId(request_);
        Record storage record = _records[requestId];
        if (record.status != Status.PENDING) revert NotPending(requestId, record.status);
        if (block.timestamp < record.availableAt) revert WindowOpen(record.availableAt);
        _requireOutput(record, output);
        bytes32 digest = keccak256(abi.encode(beneficiaries));
        if (digest != record.beneficiariesDigest) revert BeneficiariesMismatch(record.beneficiariesDigest, digest);
        address[] memory paid = beneficiaries;
        if (Policy.isDisputable(request_.policy)) {
            bool isHeld;
            (isHeld, paid) = _passDisputes(requestId, request_.modelId, beneficiaries);
            if (isHeld) return;
        }

        bool isLate = _isLate(record, request_.deadline, record.availableAt - Policy.windowSeconds(request_.policy));
        _settle(record, Status.FINAL);
        _pay(request_.feeWei, paid, isLate);
        emit InferenceFinalized(requestId, record.outputDigest);
        _runCallback(requestId, request_.requester, request_.callbackGas, output);
    }

    /// @inheritdoc ICoprocessor
    /// @dev Before `availableAt` an answer can be challenged, and as long as a dispute is open; from then on finalized:
    ///      never both. A deprecated model's answers can be challenged too, or a liar who owns the model could forbid
    ///      it.
    function challenge(
        Request calldata request_,
        bytes calldata input,
        bytes calldata output,
        Evidence calldata evidence
    ) external nonReentrant returns (ResultCode) {
        bytes32 requestId = _requestId(request_);
        Record storage record = _records[requestId];
        if (record.status != Status.PENDING) revert NotPending(requestId, record.status);
        bool isDisputable = Policy.isDisputable(request_.policy);
        if (block.timestamp >= record.availableAt) {
            bool isOpen = isDisputable && DISPUTES.rulingOf(requestId).outcome == IDisputes.Outcome.OPEN;
            if (!isOpen) revert WindowOver(record.availableAt);
        }
        bytes32 outputDigest = keccak256(output);
        bool isSame = outputDigest == record.outputDigest;
        if (isSame && !isDisputable) revert SameOutput(outputDigest);
        Claim memory claim = Claim(requestId, request_.modelId, request_.inputDigest, outputDigest);
        address[] memory beneficiaries = FeeSplit.merge(
            new address[](0),
            _verifyOne(EvidenceKind.PROOF, claim, _claimDigest(claim), Policy.PROOF, input, output, evidence)
        );
        if (beneficiaries.length == 0 && (isSame || request_.feeWei != 0)) revert NobodyToPay();

        if (isSame) {
            DISPUTES.uphold(requestId, beneficiaries[0]);
            return ResultCode.DELIVERED_PENDING;
        }
        if (isDisputable) DISPUTES.supersede(requestId);
        return _replace(requestId, request_, output, outputDigest, beneficiaries);
    }

    /// @inheritdoc ICoprocessor
    /// @dev A ruling is final at once: Disputes rules only when no proof can come any more (IDisputes.rulingOf).
    function applyRuling(Request calldata request_, bytes calldata output) external nonReentrant returns (ResultCode) {
        bytes32 requestId = _requestId(request_);
        Record storage record = _records[requestId];
        if (record.status != Status.PENDING) revert NotPending(requestId, record.status);
        if (!Policy.isDisputable(request_.policy)) revert NothingToApply(requestId, IDisputes.Outcome.NONE);
        IDisputes.Ruling memory ruling = DISPUTES.rulingOf(requestId);
        bytes32 outputDigest = keccak256(output);
        if (ruling.outcome == IDisputes.Outcome.REPLACED && outputDigest == ruling.outputDigest) {
            address[] memory challenger = new address[](1);
            challenger[0] = ruling.challenger;
            return _replace(requestId, request_, output, outputDigest, FeeSplit.merge(challenger, ruling.majority));
        }
        if (ruling.outcome == IDisputes.Outcome.REPLACED) {
            bool isWithheld = block.timestamp >= ruling.closedAt + OUTPUT_SECONDS;
            if (!isWithheld) revert OutputMismatch(ruling.outputDigest, outputDigest);
        } else if (ruling.outcome != IDisputes.Outcome.NO_MAJORITY) {
            revert NothingToApply(requestId, ruling.outcome);
        }

        _settle(record, Status.REFUNDED);
        // The answer was taken back: nobody shall read it as one.
        record.outputDigest = 0;
        _credit(request_.refundTo, request_.feeWei);
        emit RequestRefunded(requestId, request_.refundTo, request_.feeWei);
        return ResultCode.CLOSED;
    }

    /// @inheritdoc ICoprocessor
    /// @dev Returns false, and does not revert, when the callback fails again.
    function retryCallback(Request calldata request_, bytes calldata output, uint256 gasLimit)
        external
        nonReentrant
        returns (bool isSuccess)
    {
        bytes32 requestId = _requestId(request_);
        Record storage record = _records[requestId];
        if (record.callback != CallbackStatus.FAILED) revert CallbackNotFailed(requestId, record.callback);
        if (gasLimit < request_.callbackGas) revert RetryGasTooLow(request_.callbackGas, gasLimit);
        _requireOutput(record, output);
        return _runCallback(requestId, request_.requester, gasLimit, output) == CallbackStatus.SUCCEEDED;
    }

    // ---- reading ----------------------------------------------------------------------------------------------

    /// @inheritdoc ICoprocessor
    function statusOf(bytes32 requestId)
        external
        view
        returns (Status status, CallbackStatus callback, bytes32 outputDigest, uint64 availableAt)
    {
        Record storage record = _records[requestId];
        return (record.status, record.callback, record.outputDigest, record.availableAt);
    }

    /// @inheritdoc ICoprocessor
    function deliveryOf(bytes32 requestId) external view returns (bytes32 beneficiariesDigest, uint48 deliveredBlock) {
        Record storage record = _records[requestId];
        return (record.beneficiariesDigest, record.deliveredBlock);
    }

    /// @inheritdoc ICoprocessor
    function computeRequestId(Request calldata request_) external view returns (bytes32) {
        return _requestId(request_);
    }

    /// @inheritdoc ICoprocessor
    function computeClaimDigest(Claim calldata claim) external view returns (bytes32) {
        return _claimDigest(claim);
    }

    /// @notice The EIP-712 domain separator of claims and requests.
    // solhint-disable-next-line func-name-mixedcase
    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    // ---- the two ways of delivering: checks, effects, event, outside call -------------------------------------

    function _deliverRequested(
        Request calldata request_,
        bytes calldata input,
        bytes calldata output,
        Evidence[] calldata evidence
    ) private returns (ResultCode) {
        bytes32 requestId = _requestId(request_);
        _requireRequested(requestId);
        if (block.timestamp > request_.deadline) revert Expired(request_.deadline);
        (bytes32 digest, address[] memory beneficiaries) = _verify(requestId, request_, input, output, evidence);

        return _accept(requestId, request_, output, digest, beneficiaries);
    }

    function _deliverSigned(
        Request calldata request_,
        bytes calldata signature,
        bytes calldata input,
        bytes calldata output,
        Evidence[] calldata evidence
    ) private returns (ResultCode) {
        bytes32 requestId = _requestId(request_);
        _requireSigned(requestId, request_, signature);
        _requireShown(request_, input);
        (bytes32 digest, address[] memory beneficiaries) = _verify(requestId, request_, input, output, evidence);

        _debit(request_.requester, request_.feeWei);
        emit SignedRequestAccepted(requestId, request_.modelId, request_.requester, request_);
        return _accept(requestId, request_, output, digest, beneficiaries);
    }

    function _accept(
        bytes32 requestId,
        Request calldata request_,
        bytes calldata output,
        bytes32 outputDigest,
        address[] memory beneficiaries
    ) private returns (ResultCode) {
        uint32 windowSeconds = Policy.windowSeconds(request_.policy);
        uint64 availableAt = windowSeconds == 0 ? 0 : uint64(block.timestamp) + windowSeconds;
        Record storage record = _records[requestId];
        record.outputDigest = outputDigest;
        if (windowSeconds == 0) {
            record.status = Status.FINAL;
            _pay(request_.feeWei, beneficiaries, _isLate(record, request_.deadline, block.timestamp));
        } else {
            record.status = Status.PENDING;
            record.availableAt = availableAt;
            if (Policy.isDisputable(request_.policy)) record.deliveredBlock = uint48(block.number);
            record.beneficiariesDigest = keccak256(abi.encode(beneficiaries));
        }
        emit InferenceDelivered(
            requestId, request_.modelId, request_.requester, outputDigest, output, beneficiaries, availableAt
        );
        if (windowSeconds != 0) return ResultCode.DELIVERED_PENDING;
        CallbackStatus callback = _runCallback(requestId, request_.requester, request_.callbackGas, output);
        return callback == CallbackStatus.FAILED ? ResultCode.DELIVERED_CALLBACK_FAILED : ResultCode.DELIVERED;
    }

    /// @dev What a proof or a committee puts in the place of a pending answer.
    function _replace(
        bytes32 requestId,
        Request calldata request_,
        bytes calldata output,
        bytes32 outputDigest,
        address[] memory beneficiaries
    ) private returns (ResultCode) {
        Record storage record = _records[requestId];
        bytes32 replacedDigest = record.outputDigest;
        _settle(record, Status.FINAL);
        record.outputDigest = outputDigest;
        _pay(request_.feeWei, beneficiaries, false);
        emit InferenceReplaced(requestId, replacedDigest, outputDigest, output, beneficiaries);
        CallbackStatus callback = _runCallback(requestId, request_.requester, request_.callbackGas, output);
        return callback == CallbackStatus.FAILED ? ResultCode.DELIVERED_CALLBACK_FAILED : ResultCode.DELIVERED;
    }

    /// @dev Whether the answer stays pending because the lottery fell on it, and else who is paid. Only what nobody
    ///      disputed, what a committee or a proof upheld, and what was disputed and never drawn passes.
    function _passDisputes(bytes32 requestId, bytes32 modelId, address[] calldata beneficiaries)
        private
        returns (bool isHeld, address[] memory paid)
    {
        IDisputes.Ruling memory ruling = DISPUTES.rulingOf(requestId);
        IDisputes.Outcome outcome = ruling.outcome;
        if (outcome == IDisputes.Outcome.OPEN) revert DisputeOpen(requestId);
        if (outcome == IDisputes.Outcome.NONE) {
            isHeld = DISPUTES.forceAudit(requestId, modelId, beneficiaries, msg.sender);
            if (isHeld) emit AuditForced(requestId);
        } else if (outcome == IDisputes.Outcome.REPLACED || outcome == IDisputes.Outcome.NO_MAJORITY) {
            revert RuledOtherwise(requestId, outcome);
        }
        paid = FeeSplit.merge(beneficiaries, ruling.majority);
    }

    // ---- checks -----------------------------------------------------------------------------------------------

    /// @dev What a request must satisfy, whichever way it comes.
    function _requireAcceptable(Request memory asked) private view {
        Policy.requireWellFormed(asked.policy);
        uint32 windowSeconds = Policy.windowSeconds(asked.policy);
        if (windowSeconds > MAX_WINDOW_SECONDS) revert WindowTooLong(MAX_WINDOW_SECONDS, windowSeconds);
        EvidenceKind[] memory kinds = Policy.demandedKinds(asked.policy);
        for (uint256 i; i < kinds.length; ++i) {
            if (!ROUTER.isServed(kinds[i])) revert KindNotServed(uint8(kinds[i]));
        }
        if (Policy.isDisputable(asked.policy) && address(DISPUTES).code.length == 0) revert DisputesNotServed();
        if (!MODELS.isActive(asked.modelId)) revert ModelNotActive(asked.modelId);
        uint64 maxDeadline = uint64(block.timestamp) + MAX_HORIZON_SECONDS;
        if (asked.deadline < block.timestamp || asked.deadline > maxDeadline) {
            revert DeadlineOutOfRange(uint64(block.timestamp), maxDeadline, asked.deadline);
        }
        if (asked.callbackGas > MAX_CALLBACK_GAS) revert CallbackGasTooHigh(MAX_CALLBACK_GAS, asked.callbackGas);
        if (asked.refundTo == address(0)) revert ZeroRefundAddress();
    }

    function _requireRequested(bytes32 requestId) private view {
        Status status = _records[requestId].status;
        if (status == Status.NONE) revert UnknownRequest(requestId);
        if (status != Status.REQUESTED) _revertUsed(requestId, status);
    }

    function _requireSigned(bytes32 requestId, Request calldata request_, bytes calldata signature) private view {
        if (request_.nonce < SIGNED_NONCE_START) revert NonceTooLow(SIGNED_NONCE_START, request_.nonce);
        Status status = _records[requestId].status;
        if (status != Status.NONE) _revertUsed(requestId, status);
        if (block.timestamp > request_.deadline) revert Expired(request_.deadline);
        _requireAcceptable(request_);
        uint256 balanceWei = balanceOf(request_.requester);
        if (request_.feeWei > balanceWei) revert Unpaid(request_.requester, request_.feeWei, balanceWei);
        if (!RequesterSignature.isSignedBy(request_.requester, requestId, signature)) {
            revert BadRequesterSignature(request_.requester);
        }
    }

    /// @dev A question signed off chain was shown to nobody here. Where its answer can be challenged, it has to be: who
    ///      does not know the question cannot find the lie.
    function _requireShown(Request calldata request_, bytes calldata input) private pure {
        if (Policy.windowSeconds(request_.policy) == 0) return;
        bytes32 digest = keccak256(input);
        if (digest != request_.inputDigest) revert InputWithheld(request_.inputDigest, digest);
    }

    function _revertUsed(bytes32 requestId, Status status) private view {
        if (status == Status.REFUNDED || status == Status.CANCELLED) revert RequestClosed(requestId, status);
        revert AlreadyDelivered(requestId, _records[requestId].outputDigest);
    }

    /// @dev Every demanded verifier must accept. Nothing is left out silently: the evidence array has exactly the
    ///      demanded kinds.
    function _verify(
        bytes32 requestId,
        Request calldata request_,
        bytes calldata input,
        bytes calldata output,
        Evidence[] calldata evidence
    ) private view returns (bytes32 outputDigest, address[] memory beneficiaries) {
        EvidenceKind[] memory kinds = Policy.demandedKinds(request_.policy);
        if (evidence.length != kinds.length) revert EvidenceCount(kinds.length, evidence.length);
        outputDigest = keccak256(output);
        Claim memory claim = Claim(requestId, request_.modelId, request_.inputDigest, outputDigest);
        bytes32 digest = _claimDigest(claim);
        for (uint256 i; i < kinds.length; ++i) {
            address[] memory added = _verifyOne(kinds[i], claim, digest, request_.policy, input, output, evidence[i]);
            beneficiaries = FeeSplit.merge(beneficiaries, added);
        }
        if (beneficiaries.length == 0 && request_.feeWei != 0) revert NobodyToPay();
    }

    function _verifyOne(
        EvidenceKind kind,
        Claim memory claim,
        bytes32 digest,
        bytes32 policy,
        bytes calldata input,
        bytes calldata output,
        Evidence calldata evidence
    ) private view returns (address[] memory beneficiaries) {
        IVerifier verifier = ROUTER.resolve(kind, evidence.selector);
        return verifier.verify(claim, digest, policy, input, output, evidence.data);
    }

    function _requireOutput(Record storage record, bytes calldata output) private view {
        bytes32 digest = keccak256(output);
        if (digest != record.outputDigest) revert OutputMismatch(record.outputDigest, digest);
    }

    /// @dev Whether more than half of the time between asking and the deadline was over.
    function _isLate(Record storage record, uint256 deadline, uint256 deliveredAt) private view returns (bool) {
        uint256 requestedAt = record.requestedAt;
        return requestedAt != 0 && 2 * deliveredAt > requestedAt + deadline;
    }

    // ---- effects ----------------------------------------------------------------------------------------------

    /// @dev Out of PENDING.
    function _settle(Record storage record, Status status) private {
        record.status = status;
        record.deliveredBlock = 0;
        record.beneficiariesDigest = 0;
    }

    /// @dev Counts the answer for everyone it pays. An answer nobody paid for counts for nobody: to count it would cost
    ///      more than to make it.
    function _pay(uint256 feeWei, address[] memory beneficiaries, bool isLate) private {
        if (feeWei == 0) return;
        (uint256 firstWei, uint256 shareWei) = FeeSplit.split(feeWei, beneficiaries.length);
        for (uint256 i; i < beneficiaries.length; ++i) {
            _reward(beneficiaries[i], i == 0 ? firstWei : shareWei, isLate);
        }
    }

    /// @dev WARNING: the last thing any entry point does. The consumer may do what it likes; settlement is already
    ///      written.
    function _runCallback(bytes32 requestId, address consumer, uint256 gasLimit, bytes calldata output)
        private
        returns (CallbackStatus status)
    {
        if (gasLimit == 0 || consumer.code.length == 0) return CallbackStatus.NONE;
        Record storage record = _records[requestId];
        record.callback = CallbackStatus.RUNNING;
        bytes memory data = abi.encodeCall(IInferenceConsumer.onInference, (requestId, output));
        bool isSuccess = BoundedCall.tryCall(consumer, gasLimit, data);
        status = isSuccess ? CallbackStatus.SUCCEEDED : CallbackStatus.FAILED;
        record.callback = status;
        emit CallbackExecuted(requestId, isSuccess);
    }

    function _claimDigest(Claim memory claim) private view returns (bytes32) {
        return _hashTypedDataV4(Claims.hashClaim(claim));
    }

    function _requestId(Request memory asked) private view returns (bytes32) {
        return _hashTypedDataV4(Claims.hashRequest(asked));
    }
}
