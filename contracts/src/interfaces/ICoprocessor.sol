// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {CallbackStatus, Claim, Delivery, Evidence, Request, ResultCode, Status} from "../libraries/Types.sol";
import {IDisputes} from "./IDisputes.sol";
import {IModelRegistry} from "./IModelRegistry.sol";
import {ITreasury} from "./ITreasury.sol";

/// @title Ask for an inference, deliver one with evidence
interface ICoprocessor is ITreasury {
    /// @notice A request was made and paid for; everything an operator needs to answer.
    event InferenceRequested(
        bytes32 indexed requestId, bytes32 indexed modelId, address indexed requester, Request request, bytes input
    );
    /// @notice A request signed off chain was accepted; its delivery follows in the same transaction.
    event SignedRequestAccepted(
        bytes32 indexed requestId, bytes32 indexed modelId, address indexed requester, Request request
    );
    event SignedRequestCancelled(bytes32 indexed requestId, address indexed requester);
    /// @notice The evidence was accepted. Final at once when `availableAt` is 0, else to be finalized from then on.
    event InferenceDelivered(
        bytes32 indexed requestId,
        bytes32 indexed modelId,
        address indexed requester,
        bytes32 outputDigest,
        bytes output,
        address[] beneficiaries,
        uint64 availableAt
    );
    event InferenceFinalized(bytes32 indexed requestId, bytes32 outputDigest);
    /// @notice A pending answer was proven wrong within its window, and replaced by the one the model gives, or a
    ///         committee ruled that the model gives another, and that was shown; final.
    event InferenceReplaced(
        bytes32 indexed requestId,
        bytes32 replacedOutputDigest,
        bytes32 outputDigest,
        bytes output,
        address[] beneficiaries
    );
    /// @notice The answer was due, and the lottery fell on it: it stays pending, and a committee is drawn.
    event AuditForced(bytes32 indexed requestId);
    event CallbackExecuted(bytes32 indexed requestId, bool success);
    event RequestRefunded(bytes32 indexed requestId, address indexed refundTo, uint256 feeWei);
    /// @notice One per item of a batch; `reason` is the selector of the error, 0 when the item was delivered or ran
    ///         out of gas.
    event BatchItem(bytes32 indexed requestId, ResultCode code, bytes4 reason);
    event Deposited(address indexed account, address indexed from, uint256 amountWei);
    event Withdrawn(address indexed account, address indexed to, uint256 amountWei);

    error UnknownRequest(bytes32 requestId);
    error AlreadyDelivered(bytes32 requestId, bytes32 outputDigest);
    error RequestClosed(bytes32 requestId, Status status);
    error RequestUsed(bytes32 requestId, Status status);
    error Expired(uint64 deadline);
    error NotExpired(uint64 deadline);
    error ModelNotActive(bytes32 modelId);
    error KindNotServed(uint8 kind);
    error WindowTooLong(uint32 maxSeconds, uint32 gotSeconds);
    error DeadlineOutOfRange(uint64 minDeadline, uint64 maxDeadline, uint64 gotDeadline);
    error CallbackGasTooHigh(uint32 maxGas, uint32 gotGas);
    error InputTooLong(uint256 maxBytes, uint256 gotBytes);
    error ZeroRefundAddress();
    error NonceTooLow(uint256 minNonce, uint256 gotNonce);
    error BadRequesterSignature(address requester);
    error Unpaid(address requester, uint256 feeWei, uint256 balanceWei);
    error InputWithheld(bytes32 expectedDigest, bytes32 gotDigest);
    error EvidenceCount(uint256 expected, uint256 got);
    error NobodyToPay();
    error OutputMismatch(bytes32 expectedDigest, bytes32 gotDigest);
    error BeneficiariesMismatch(bytes32 expectedDigest, bytes32 gotDigest);
    error NotPending(bytes32 requestId, Status status);
    error WindowOpen(uint64 availableAt);
    error WindowOver(uint64 availableAt);
    error SameOutput(bytes32 outputDigest);
    error DisputesNotServed();
    error DisputeOpen(bytes32 requestId);
    error RuledOtherwise(bytes32 requestId, IDisputes.Outcome outcome);
    error NothingToApply(bytes32 requestId, IDisputes.Outcome outcome);
    error CallbackNotFailed(bytes32 requestId, CallbackStatus status);
    error RetryGasTooLow(uint32 minGas, uint256 gotGas);
    error NotRequester(address requester, address caller);
    error InsufficientBalance(address account, uint256 balanceWei, uint256 wantedWei);
    error ZeroRecipient();
    error OnlySelf();

    /// @notice Asks for an inference and pays `msg.value` for it. Where the asset is a token, only for no fee at all.
    /// @param modelId A registered, active model.
    /// @param input The model's input bytes, at most MAX_INPUT_BYTES.
    /// @param policy The demanded evidence, see libraries/Policy.sol.
    /// @param callbackGas Gas for `onInference` on the caller, at most MAX_CALLBACK_GAS; 0 for no callback.
    /// @param deadline Unix seconds; not past, and within MAX_HORIZON_SECONDS.
    /// @param refundTo Who is credited if nobody answers by the deadline.
    /// @return requestId The EIP-712 digest of the request.
    function request(
        bytes32 modelId,
        bytes calldata input,
        bytes32 policy,
        uint32 callbackGas,
        uint64 deadline,
        address refundTo
    ) external payable returns (bytes32 requestId);

    /// @notice As `request`, with the fee out of the caller's balance, in whichever asset.
    /// @param feeWei At most `balanceOf` the caller.
    function requestFromBalance(
        bytes32 modelId,
        bytes calldata input,
        bytes32 policy,
        uint256 feeWei,
        uint32 callbackGas,
        uint64 deadline,
        address refundTo
    ) external returns (bytes32 requestId);

    /// @notice Answers an on-chain request. Anyone may; what counts is the evidence.
    function deliver(
        Request calldata request_,
        bytes calldata input,
        bytes calldata output,
        Evidence[] calldata evidence
    ) external returns (ResultCode);

    /// @notice Accepts a request signed off chain and answers it in one transaction; the fee comes from the
    ///         requester's deposit. Under a policy with a window the input must be given, so that all can see it.
    function deliverSigned(
        Request calldata request_,
        bytes calldata signature,
        bytes calldata input,
        bytes calldata output,
        Evidence[] calldata evidence
    ) external returns (ResultCode);

    /// @notice Many deliveries; an item that fails leaves the others alone.
    function deliverBatch(Delivery[] calldata deliveries) external returns (ResultCode[] memory codes);

    /// @notice Makes a pending answer final after its window: pays, and runs the callback. Under a disputable policy
    ///         only if no committee is at work on it or ruled otherwise, and not if the lottery falls on it now: then
    ///         this opens an audit, emits AuditForced, and leaves the answer pending. A committee that upheld it is
    ///         paid with those who answered.
    function finalize(Request calldata request_, bytes calldata output, address[] calldata beneficiaries) external;

    /// @notice Replaces a pending answer within its window, or while a dispute of it is open, by the one that the model
    ///         gives, on a proof; pays whom the proof names, and runs the callback. Whatever evidence the policy
    ///         demands. A proof of the disputed answer itself ends the dispute instead: the answer stays pending, then
    ///         final, and the bond is whom the proof names.
    /// @param input The request's input.
    /// @param output The output that the model really gives.
    /// @param evidence Proof evidence for this request and `output`, as a delivery would carry it.
    /// @return DELIVERED_PENDING where the answer was upheld, else as of a delivery.
    function challenge(
        Request calldata request_,
        bytes calldata input,
        bytes calldata output,
        Evidence calldata evidence
    ) external returns (ResultCode);

    /// @notice Carries out a committee's ruling against a pending answer, once, before or after its window's end. Where
    ///         the committee named another output, `output` must be it: final, the fee is the challenger's and the
    ///         majority's, the callback runs. Where it agreed on nothing, or nobody showed the output it named for
    ///         OUTPUT_SECONDS, the request is refunded.
    /// @param output What the committee named; ignored where it agreed on nothing.
    /// @return CLOSED where the request was refunded, else as of a delivery.
    function applyRuling(Request calldata request_, bytes calldata output) external returns (ResultCode);

    /// @notice Runs a failed callback again, with at least the gas the request asked for.
    function retryCallback(Request calldata request_, bytes calldata output, uint256 gasLimit)
        external
        returns (bool isSuccess);

    /// @notice Credits `refundTo` with the fee of a request nobody answered by its deadline. Anyone may call.
    function refund(Request calldata request_) external;

    /// @notice Makes a signed request unusable, by its requester.
    function cancelSigned(Request calldata request_) external;

    /// @notice Credits the caller with `msg.value`; refused where the asset is a token.
    function deposit() external payable;

    /// @notice Credits `account` with `msg.value`; refused where the asset is a token.
    function depositFor(address account) external payable;

    /// @notice Credits the caller with `amountWei` of the token, which it has approved before; refused where the asset
    ///         is ether, and where not exactly that much arrives.
    function depositToken(uint256 amountWei) external;

    /// @notice Credits `account` with `amountWei` of the token, out of the caller's.
    function depositTokenFor(address account, uint256 amountWei) external;

    /// @notice Pays out of the caller's balance: deposits, refunds, earned fees.
    function withdraw(uint256 amountWei, address payable to) external;

    /// @notice What `account` can withdraw, and what signed requests of it can be paid from.
    function balanceOf(address account) external view returns (uint256 amountWei);

    /// @notice How many answers an account was paid for, and how many of them came after more than half of the time
    ///         between asking and the deadline (0 late ones of signed requests: nobody knows on chain when they were
    ///         asked). The prover of a challenge is counted, whose answer was replaced is not.
    /// @dev WARNING: whoever asks and answers itself counts, too, at the price of the gas. Weigh it with the stake, and
    ///      with what others asked for.
    function workOf(address account) external view returns (uint64 delivered, uint64 late);

    /// @notice The state of a request; zeros for one that was never seen.
    function statusOf(bytes32 requestId)
        external
        view
        returns (Status status, CallbackStatus callback, bytes32 outputDigest, uint64 availableAt);

    /// @notice What a pending answer is held to on the way to finality; zeros once it is settled.
    /// @return beneficiariesDigest keccak256(abi.encode(address[])) of who will be paid.
    /// @return deliveredBlock The block of the delivery, where the policy is disputable; else 0.
    function deliveryOf(bytes32 requestId) external view returns (bytes32 beneficiariesDigest, uint48 deliveredBlock);

    // solhint-disable func-name-mixedcase

    /// @notice Who rules over answers under disputable policies.
    function DISPUTES() external view returns (IDisputes);

    /// @notice Where models are registered.
    function MODELS() external view returns (IModelRegistry);

    /// @notice The longest window a policy may have.
    function MAX_WINDOW_SECONDS() external view returns (uint32);

    // solhint-enable func-name-mixedcase

    /// @notice The id of a request in this contract's domain; also what the signer of an off-chain request signs.
    function computeRequestId(Request calldata request_) external view returns (bytes32);

    /// @notice What an operator signs.
    function computeClaimDigest(Claim calldata claim) external view returns (bytes32);
}
