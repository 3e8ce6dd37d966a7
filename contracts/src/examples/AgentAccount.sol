// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICoprocessor} from "../interfaces/ICoprocessor.sol";
import {IInferenceConsumer} from "../interfaces/IInferenceConsumer.sol";
import {Policy} from "../libraries/Policy.sol";
import {Scores} from "../libraries/Scores.sol";

/// @title AgentAccount: an agent pays small sums by itself, and larger ones when a verified model agrees
/// @notice The agent sends plain ether freely up to a limit per period. Everything else (more ether, or any call
///         with data, which may move what no limit here counts: tokens, approvals, other contracts' money) is first
///         put before a model. It is released only when the final answer, which carries the evidence that the owner's
///         policy demands, approves exactly that call. A refusal, a missing answer, a late one, an owner who cancels,
///         or an owner who names another model or policy in the meantime: nothing is released.
/// @dev What the model is shown is made here, from the call and from what the account knows (`describe`): the agent
///      cannot show it one call and make another. Inherit and override `describe` and `isApproval` for another model.
///      Approved spendings do not count towards the limit. A period begins with the first free spending after the last
///      one ended, so the most that leaves freely in any span of one period is twice the limit.
contract AgentAccount is IInferenceConsumer {
    /// @notice NONE → ASKED → APPROVED → EXECUTED; ASKED → REFUSED; ASKED and APPROVED → CANCELLED. A spending whose
    ///         time is over stays as it is and can never be executed.
    enum State {
        NONE,
        ASKED,
        APPROVED,
        REFUSED,
        EXECUTED,
        CANCELLED
    }

    /// @dev `digest` binds everything that was asked about (`computeDigest`).
    struct Spending {
        State state;
        uint64 expiresAt;
        bytes32 digest;
    }

    /// @notice Numbers the model is shown, and scores it answers: the first for refusing, the second for approving.
    uint256 public constant FACTS = 9;
    /// @notice The largest number that a canonical model takes (12 signed bits). Every number it is shown is in
    ///         [0, MAX_FACT].
    uint16 public constant MAX_FACT = 2047;
    uint256 public constant SCORES = 2;
    uint32 public constant CALLBACK_GAS = 100_000;

    ICoprocessor public immutable COPROCESSOR;
    address public immutable OWNER;
    /// @notice Wei that leave freely in one period.
    uint256 public immutable LIMIT_WEI;
    uint64 public immutable PERIOD_SECONDS;
    /// @notice How long an approval can be used: seconds after the last moment in which the answer could be final.
    uint64 public immutable APPROVAL_SECONDS;

    address public agent;
    bytes32 public modelId;
    bytes32 public policy;
    /// @notice Grows with every change of model or policy: an approval of an earlier judge is none.
    uint64 public judge;

    uint64 public periodStart;
    uint256 public spentWei;
    uint256 public nextNonce;
    mapping(bytes32 requestId => Spending) public spendingOf;
    mapping(address target => uint256) public timesPaid;

    event Spent(address indexed target, uint256 valueWei, uint256 leftWei);
    event SpendingProposed(
        bytes32 indexed requestId,
        address indexed target,
        uint256 valueWei,
        bytes data,
        uint256 nonce,
        uint64 expiresAt
    );
    event SpendingJudged(bytes32 indexed requestId, bool isApproved);
    event SpendingExecuted(bytes32 indexed requestId, address indexed target, uint256 valueWei);
    event SpendingCancelled(bytes32 indexed requestId);
    event AgentChanged(address indexed agent);
    event JudgeChanged(uint64 indexed judge, bytes32 modelId, bytes32 policy);

    error NotAgent(address caller);
    error NotOwner(address caller);
    error NotCoprocessor(address caller);
    error NotAsked(bytes32 requestId);
    error NotApproved(bytes32 requestId, State state);
    error NotCancellable(bytes32 requestId, State state);
    error ApprovalOver(uint64 expiresAt);
    error OtherSpending(bytes32 approvedDigest, bytes32 gotDigest);
    error OverLimit(uint256 leftWei, uint256 wantedWei);
    error ForbiddenTarget(address target);
    error CallFailed(address target, bytes reason);

    modifier onlyAgent() {
        if (msg.sender != agent) revert NotAgent(msg.sender);
        _;
    }

    modifier onlyOwner() {
        if (msg.sender != OWNER) revert NotOwner(msg.sender);
        _;
    }

    constructor(
        ICoprocessor coprocessor,
        address owner,
        address firstAgent,
        bytes32 firstModelId,
        bytes32 firstPolicy,
        uint256 limitWei,
        uint64 periodSeconds,
        uint64 approvalSeconds
    ) payable {
        COPROCESSOR = coprocessor;
        OWNER = owner;
        LIMIT_WEI = limitWei;
        PERIOD_SECONDS = periodSeconds;
        APPROVAL_SECONDS = approvalSeconds;
        agent = firstAgent;
        emit AgentChanged(firstAgent);
        _setJudge(firstModelId, firstPolicy);
    }

    receive() external payable {}

    // ---- spending freely --------------------------------------------------------------------------------------

    /// @notice Sends ether, without data, within what is left of the limit.
    function spend(address payable target, uint256 valueWei) external onlyAgent {
        _requireTarget(target);
        if (block.timestamp >= uint256(periodStart) + PERIOD_SECONDS) {
            periodStart = uint64(block.timestamp);
            spentWei = 0;
        }
        uint256 leftWei = LIMIT_WEI - spentWei;
        if (valueWei > leftWei) revert OverLimit(leftWei, valueWei);
        spentWei += valueWei;
        ++timesPaid[target];
        emit Spent(target, valueWei, leftWei - valueWei);
        _call(target, valueWei, "");
    }

    // ---- spending with approval -------------------------------------------------------------------------------

    /// @notice Puts a call before the model; `msg.value` is the fee of those who answer, and goes back to the agent
    ///         (Coprocessor.refund, withdraw) when nobody does within `patienceSeconds`. Fees in a token need
    ///         `proposeFromBalance`.
    /// @return requestId Names the spending from here on.
    function propose(address target, uint256 valueWei, bytes calldata data, uint32 patienceSeconds)
        external
        payable
        onlyAgent
        returns (bytes32 requestId)
    {
        _requireTarget(target);
        uint64 deadline = uint64(block.timestamp) + patienceSeconds;
        bytes memory input = describe(target, valueWei, data);
        requestId = COPROCESSOR.request{value: msg.value}(modelId, input, policy, CALLBACK_GAS, deadline, msg.sender);
        _remember(requestId, target, valueWei, data, deadline);
    }

    /// @notice As `propose`, with the fee out of this account's balance in the Coprocessor, in whichever asset. When
    ///         nobody answers, the fee goes back there.
    /// @dev WARNING: the agent can spend that balance, on fees alone, and no limit here counts it. Anybody fills it
    ///      (Coprocessor.depositFor, depositTokenFor); the owner alone takes from it (`ownerCall`, withdraw).
    /// @param feeWei In the smallest unit of the Coprocessor's asset; at most its `balanceOf` this account.
    function proposeFromBalance(
        address target,
        uint256 valueWei,
        bytes calldata data,
        uint256 feeWei,
        uint32 patienceSeconds
    ) external onlyAgent returns (bytes32 requestId) {
        _requireTarget(target);
        uint64 deadline = uint64(block.timestamp) + patienceSeconds;
        bytes memory input = describe(target, valueWei, data);
        requestId =
            COPROCESSOR.requestFromBalance(modelId, input, policy, feeWei, CALLBACK_GAS, deadline, address(this));
        _remember(requestId, target, valueWei, data, deadline);
    }

    /// @inheritdoc IInferenceConsumer
    /// @dev Remembers the verdict and does nothing else: the call itself is the agent's next transaction, so that no
    ///      target runs inside a delivery, and none fails for want of a callback's gas.
    function onInference(bytes32 requestId, bytes calldata output) external {
        if (msg.sender != address(COPROCESSOR)) revert NotCoprocessor(msg.sender);
        Spending storage spending = spendingOf[requestId];
        if (spending.state != State.ASKED) revert NotAsked(requestId);
        bool isApproved = isApproval(output);
        spending.state = isApproved ? State.APPROVED : State.REFUSED;
        emit SpendingJudged(requestId, isApproved);
    }

    /// @notice Makes an approved call, once, while the approval lasts. When the call fails, nothing has happened, and
    ///         it can be tried again.
    function execute(bytes32 requestId, address target, uint256 valueWei, bytes calldata data, uint256 nonce)
        external
        onlyAgent
        returns (bytes memory answer)
    {
        Spending storage spending = spendingOf[requestId];
        if (spending.state != State.APPROVED) revert NotApproved(requestId, spending.state);
        if (block.timestamp > spending.expiresAt) revert ApprovalOver(spending.expiresAt);
        bytes32 digest = computeDigest(target, valueWei, data, nonce);
        if (digest != spending.digest) revert OtherSpending(spending.digest, digest);

        spending.state = State.EXECUTED;
        ++timesPaid[target];
        emit SpendingExecuted(requestId, target, valueWei);
        return _call(target, valueWei, data);
    }

    // ---- the owner --------------------------------------------------------------------------------------------

    /// @notice Takes a spending back, approved or not.
    function cancel(bytes32 requestId) external onlyOwner {
        Spending storage spending = spendingOf[requestId];
        if (spending.state != State.ASKED && spending.state != State.APPROVED) {
            revert NotCancellable(requestId, spending.state);
        }
        spending.state = State.CANCELLED;
        emit SpendingCancelled(requestId);
    }

    /// @notice Names another agent; zero for none.
    function setAgent(address newAgent) external onlyOwner {
        agent = newAgent;
        emit AgentChanged(newAgent);
    }

    /// @notice Names another model and policy. What was asked or approved under the last ones is void.
    function setJudge(bytes32 newModelId, bytes32 newPolicy) external onlyOwner {
        _setJudge(newModelId, newPolicy);
    }

    /// @notice Any call, by the owner.
    function ownerCall(address target, uint256 valueWei, bytes calldata data)
        external
        onlyOwner
        returns (bytes memory answer)
    {
        return _call(target, valueWei, data);
    }

    // ---- what is bound, and what is shown ---------------------------------------------------------------------

    /// @notice What an approval is about: this account on this chain, the call to the byte, its number, and the judge
    ///         as it is now.
    function computeDigest(address target, uint256 valueWei, bytes calldata data, uint256 nonce)
        public
        view
        returns (bytes32)
    {
        return keccak256(
            abi.encode(block.chainid, address(this), target, valueWei, keccak256(data), nonce, modelId, policy, judge)
        );
    }

    /// @notice The model's input for a call: FACTS packed big-endian int16, each in [0, MAX_FACT]; what is more is
    ///         shown as MAX_FACT, so that every node takes it.
    /// @dev By index:
    ///      0. `valueWei` in thousandths of the limit, rounded down (1000: all of it; MAX_FACT where the limit is 0)
    ///      1. what was spent freely in this period, in the same
    ///      2. eight times log2 of `valueWei`, that rounded down: 0, 8, … 2040 (0 for 0 and for 1 wei)
    ///      3. 1 where the target has code, else 0
    ///      4. how many times this account has paid or called the target before
    ///      5. bytes of `data`
    ///      6. 7. 8. the selector, its 11 highest, 11 middle and 10 lowest bits; 0 for less than four bytes of data
    function describe(address target, uint256 valueWei, bytes calldata data)
        public
        view
        virtual
        returns (bytes memory input)
    {
        int16[] memory facts = new int16[](FACTS);
        facts[0] = _cap(_inLimits(valueWei));
        facts[1] = _cap(block.timestamp >= uint256(periodStart) + PERIOD_SECONDS ? 0 : _inLimits(spentWei));
        facts[2] = _cap(_log2(valueWei) << 3);
        facts[3] = target.code.length == 0 ? int16(0) : int16(1);
        facts[4] = _cap(timesPaid[target]);
        facts[5] = _cap(data.length);
        if (data.length >= 4) {
            uint256 selector = uint32(bytes4(data[:4]));
            facts[6] = _cap(selector >> 21);
            facts[7] = _cap((selector >> 10) & 0x7ff);
            facts[8] = _cap(selector & 0x3ff);
        }
        return Scores.pack(facts);
    }

    /// @notice Whether an answer approves: two scores, and the second is the larger. Equal scores refuse.
    function isApproval(bytes calldata output) public pure virtual returns (bool) {
        return Scores.indexOfLargest(output, SCORES) == 1;
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    function _setJudge(bytes32 newModelId, bytes32 newPolicy) private {
        Policy.requireWellFormed(newPolicy);
        (modelId, policy) = (newModelId, newPolicy);
        emit JudgeChanged(++judge, newModelId, newPolicy);
    }

    function _remember(bytes32 requestId, address target, uint256 valueWei, bytes calldata data, uint64 deadline)
        private
    {
        uint256 nonce = nextNonce++;
        uint64 expiresAt = deadline + Policy.windowSeconds(policy) + APPROVAL_SECONDS;
        spendingOf[requestId] = Spending(State.ASKED, expiresAt, computeDigest(target, valueWei, data, nonce));
        emit SpendingProposed(requestId, target, valueWei, data, nonce, expiresAt);
    }

    /// @dev An account that calls itself could pass for its owner in what inherits from it; one that calls the
    ///      Coprocessor could ask in its own name, or take what refunds credited it.
    function _requireTarget(address target) private view {
        if (target == address(this) || target == address(COPROCESSOR)) revert ForbiddenTarget(target);
    }

    /// @dev The last thing any entry point does: what was spent, or executed, is written before.
    function _call(address target, uint256 valueWei, bytes memory data) private returns (bytes memory answer) {
        bool isSuccess;
        (isSuccess, answer) = target.call{value: valueWei}(data);
        if (!isSuccess) revert CallFailed(target, answer);
    }

    function _inLimits(uint256 valueWei) private view returns (uint256) {
        if (LIMIT_WEI == 0 || valueWei >= type(uint256).max / 1000) return type(uint256).max;
        return valueWei * 1000 / LIMIT_WEI;
    }

    function _log2(uint256 value) private pure returns (uint256 bits) {
        for (; value > 1; value >>= 1) {
            ++bits;
        }
    }

    function _cap(uint256 value) private pure returns (int16) {
        return int16(uint16(value > MAX_FACT ? MAX_FACT : value));
    }
}
