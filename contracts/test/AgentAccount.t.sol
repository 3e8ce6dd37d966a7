// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AgentAccount} from "../src/examples/AgentAccount.sol";
import {ICoprocessor} from "../src/interfaces/ICoprocessor.sol";
import {Policy} from "../src/libraries/Policy.sol";
import {Evidence, Request, ResultCode} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {TokenDeployment} from "./TokenDeployment.sol";
import {vm} from "./Vm.sol";

/// @dev Whatever is called, it counts, and makes one prepared call back.
contract Shop {
    uint256 public calls;
    bytes public lastData;
    bool public isClosed;
    address private _victim;
    bytes private _attack;
    bool public hasSucceeded;

    error Closed();

    function close() external {
        isClosed = true;
    }

    function open() external {
        isClosed = false;
    }

    function prepare(address victim, bytes calldata attack) external {
        (_victim, _attack) = (victim, attack);
    }

    fallback() external payable {
        if (isClosed) revert Closed();
        ++calls;
        lastData = msg.data;
        if (_victim != address(0)) {
            bytes memory attack = _attack;
            (hasSucceeded,) = _victim.call(attack);
        }
    }

    receive() external payable {
        if (isClosed) revert Closed();
        ++calls;
        if (_victim != address(0)) {
            bytes memory attack = _attack;
            (hasSucceeded,) = _victim.call(attack);
        }
    }
}

/// @dev An account of a long life: what it remembers is whatever a test says.
contract OldAccount is AgentAccount {
    constructor(ICoprocessor coprocessor, bytes32 modelId, bytes32 policy, uint256 limitWei)
        AgentAccount(coprocessor, msg.sender, msg.sender, modelId, policy, limitWei, 1 days, 1 hours)
    {}

    function remember(address target, uint256 times, uint256 spent) external {
        (timesPaid[target], spentWei, periodStart) = (times, spent, uint64(block.timestamp));
    }
}

/// @title An agent's account gives out what it may, and nothing that no final, verified answer approved
contract AgentAccountTest is Deployment {
    address private constant ALICE = address(0xA11CE);
    address private constant AGENT = address(0xA9E57);
    uint256 private constant LIMIT_WEI = 1 ether;
    uint64 private constant PERIOD = 1 days;
    uint64 private constant APPROVAL = 1 hours;
    uint32 private constant PATIENCE = 10 minutes;
    bytes private constant APPROVE = hex"00000001";
    bytes private constant REFUSE = hex"00010000";
    bytes private constant DATA = hex"a9059cbb0102";

    AgentAccount private account;
    Shop private shop;

    function setUp() public override {
        super.setUp();
        account = newAccount(quorumPolicy(2, 0));
        shop = new Shop();
        vm.deal(AGENT, 1 ether);
    }

    // ---- freely ---------------------------------------------------------------------------------------------------

    function test_TheAgentSpendsFreelyUpToTheLimitOfAPeriod() public {
        spend(0.4 ether);
        spend(0.6 ether);
        vm.assertEq(address(shop).balance, 1 ether);
        vm.prank(AGENT);
        vm.expectRevert(abi.encodeWithSelector(AgentAccount.OverLimit.selector, 0, 1));
        account.spend(payable(address(shop)), 1);
        vm.warp(block.timestamp + PERIOD - 1);
        vm.prank(AGENT);
        vm.expectRevert(abi.encodeWithSelector(AgentAccount.OverLimit.selector, 0, 1));
        account.spend(payable(address(shop)), 1);
        vm.warp(block.timestamp + 1);
        spend(1 ether);
        vm.assertEq(address(shop).balance, 2 ether);
    }

    function testFuzz_NoSequenceOfSpendingsPassesTheLimit(uint96[8] calldata amounts) public {
        uint256 out;
        for (uint256 i; i < amounts.length; ++i) {
            bool fits = out + amounts[i] <= LIMIT_WEI;
            vm.prank(AGENT);
            (bool isDone,) =
                address(account).call(abi.encodeCall(AgentAccount.spend, (payable(address(shop)), amounts[i])));
            vm.assertEq(isDone, fits, "within the limit, and only then");
            if (isDone) out += amounts[i];
        }
        vm.assertEq(address(shop).balance, out);
        vm.assertLe(out, LIMIT_WEI, "limit");
    }

    function test_OnlyTheAgentSpendsAndOnlyTheOwnerRules() public {
        vm.expectRevert(abi.encodeWithSelector(AgentAccount.NotAgent.selector, address(this)));
        account.spend(payable(address(shop)), 1);
        vm.expectRevert(abi.encodeWithSelector(AgentAccount.NotAgent.selector, address(this)));
        account.propose(address(shop), 1, "", PATIENCE);
        vm.expectRevert(abi.encodeWithSelector(AgentAccount.NotAgent.selector, address(this)));
        account.execute("", address(shop), 1, "", 0);
        bytes32 policy = quorumPolicy(1, 0);
        vm.prank(AGENT);
        vm.expectRevert(abi.encodeWithSelector(AgentAccount.NotOwner.selector, AGENT));
        account.setJudge(modelId, policy);
        vm.prank(AGENT);
        vm.expectRevert(abi.encodeWithSelector(AgentAccount.NotOwner.selector, AGENT));
        account.setAgent(AGENT);
        vm.prank(AGENT);
        vm.expectRevert(abi.encodeWithSelector(AgentAccount.NotOwner.selector, AGENT));
        account.cancel("");
        vm.prank(AGENT);
        vm.expectRevert(abi.encodeWithSelector(AgentAccount.NotOwner.selector, AGENT));
        account.ownerCall(AGENT, 1 ether, "");
    }

    function test_NoSpendingGoesToTheAccountOrTheCoprocessor() public {
        address[2] memory targets = [address(account), address(coprocessor)];
        for (uint256 i; i < targets.length; ++i) {
            vm.prank(AGENT);
            vm.expectRevert(abi.encodeWithSelector(AgentAccount.ForbiddenTarget.selector, targets[i]));
            account.spend(payable(targets[i]), 1);
            vm.prank(AGENT);
            vm.expectRevert(abi.encodeWithSelector(AgentAccount.ForbiddenTarget.selector, targets[i]));
            account.propose(targets[i], 0, DATA, PATIENCE);
        }
    }

    function test_AnAgentThatWasReplacedIsNone() public {
        vm.prank(ALICE);
        account.setAgent(address(0));
        vm.prank(AGENT);
        vm.expectRevert(abi.encodeWithSelector(AgentAccount.NotAgent.selector, AGENT));
        account.spend(payable(address(shop)), 1);
    }

    // ---- with approval --------------------------------------------------------------------------------------------

    function test_AnApprovedSpendingIsMadeOnce() public {
        (bytes32 id, Request memory asked) = propose(5 ether, DATA);
        refuseExecution(id, 5 ether, DATA, 0, AgentAccount.NotApproved.selector);
        answer(asked, APPROVE);
        execute(id, 5 ether, DATA, 0);
        vm.assertEq(address(shop).balance, 5 ether);
        vm.assertEq(shop.lastData(), DATA);
        refuseExecution(id, 5 ether, DATA, 0, AgentAccount.NotApproved.selector);
        vm.assertEq(account.spentWei(), 0, "what was approved is not free");
    }

    function test_ARefusalReleasesNothing() public {
        (bytes32 id, Request memory asked) = propose(5 ether, DATA);
        answer(asked, REFUSE);
        refuseExecution(id, 5 ether, DATA, 0, AgentAccount.NotApproved.selector);
    }

    function test_EqualScoresAndAnswersOfAnotherShapeApproveNothing() public {
        (bytes32 id, Request memory asked) = propose(5 ether, DATA);
        answer(asked, hex"00010001");
        refuseExecution(id, 5 ether, DATA, 0, AgentAccount.NotApproved.selector);
        bytes[3] memory others = [bytes(""), hex"0001", hex"000000010002"];
        for (uint256 i; i < others.length; ++i) {
            (id, asked) = propose(5 ether, DATA);
            ResultCode code = coprocessor.deliver(asked, "", others[i], evidenceOf(asked, others[i], 2));
            vm.assertTrue(code == ResultCode.DELIVERED_CALLBACK_FAILED, "code");
            refuseExecution(id, 5 ether, DATA, i + 1, AgentAccount.NotApproved.selector);
        }
    }

    function test_AnApprovalIsForThatCallAlone() public {
        (bytes32 id, Request memory asked) = propose(5 ether, DATA);
        answer(asked, APPROVE);
        bytes4 other = AgentAccount.OtherSpending.selector;
        refuseExecution(id, 5 ether + 1, DATA, 0, other);
        refuseExecution(id, 5 ether, hex"a9059cbb0103", 0, other);
        refuseExecution(id, 5 ether, "", 0, other);
        refuseExecution(id, 5 ether, DATA, 1, other);
        vm.prank(AGENT);
        vm.expectPartialRevert(other);
        account.execute(id, AGENT, 5 ether, DATA, 0);
        execute(id, 5 ether, DATA, 0);
    }

    function test_AnApprovalOfOneSpendingIsNotOneOfTheNext() public {
        (bytes32 first, Request memory asked) = propose(5 ether, DATA);
        (bytes32 second,) = propose(5 ether, DATA); // the same call again: another number, another question
        vm.assertNotEq(first, second);
        answer(asked, APPROVE);
        refuseExecution(second, 5 ether, DATA, 1, AgentAccount.NotApproved.selector);
        refuseExecution(first, 5 ether, DATA, 1, AgentAccount.OtherSpending.selector);
        execute(first, 5 ether, DATA, 0);
        refuseExecution(second, 5 ether, DATA, 1, AgentAccount.NotApproved.selector);
    }

    function test_AnApprovalGoesStale() public {
        (bytes32 id, Request memory asked) = propose(5 ether, DATA);
        answer(asked, APPROVE);
        uint64 expiresAt = uint64(block.timestamp) + PATIENCE + APPROVAL;
        vm.warp(expiresAt + 1);
        vm.prank(AGENT);
        vm.expectRevert(abi.encodeWithSelector(AgentAccount.ApprovalOver.selector, expiresAt));
        account.execute(id, address(shop), 5 ether, DATA, 0);
        vm.warp(expiresAt);
        execute(id, 5 ether, DATA, 0);
    }

    function test_WhatIsNotAnsweredInTimeIsNeverReleasedAndTheFeeGoesBackToTheAgent() public {
        (bytes32 id, Request memory asked) = propose(5 ether, DATA);
        vm.warp(asked.deadline + 1);
        Evidence[] memory evidence = evidenceOf(asked, APPROVE, 2);
        vm.expectPartialRevert(bytes4(keccak256("Expired(uint64)")));
        coprocessor.deliver(asked, "", APPROVE, evidence);
        coprocessor.refund(asked);
        vm.assertEq(coprocessor.balanceOf(AGENT), asked.feeWei);
        refuseExecution(id, 5 ether, DATA, 0, AgentAccount.NotApproved.selector);
    }

    function test_TheOwnerCancelsBeforeAndAfterTheAnswer() public {
        (bytes32 id, Request memory asked) = propose(5 ether, DATA);
        cancel(id);
        ResultCode code = coprocessor.deliver(asked, "", APPROVE, evidenceOf(asked, APPROVE, 2));
        vm.assertTrue(code == ResultCode.DELIVERED_CALLBACK_FAILED, "an answer nobody waits for");
        refuseExecution(id, 5 ether, DATA, 0, AgentAccount.NotApproved.selector);
        (id, asked) = propose(5 ether, DATA);
        answer(asked, APPROVE);
        cancel(id);
        refuseExecution(id, 5 ether, DATA, 1, AgentAccount.NotApproved.selector);
        vm.prank(ALICE);
        vm.expectPartialRevert(AgentAccount.NotCancellable.selector);
        account.cancel(id);
    }

    function test_ACallThatFailsCanBeTriedAgain() public {
        (bytes32 id, Request memory asked) = propose(5 ether, DATA);
        answer(asked, APPROVE);
        shop.close();
        refuseExecution(id, 5 ether, DATA, 0, AgentAccount.CallFailed.selector);
        shop.open();
        execute(id, 5 ether, DATA, 0);
    }

    // ---- another judge --------------------------------------------------------------------------------------------

    function test_AnotherModelOrPolicyVoidsWhatTheLastOneSaid() public {
        bytes32 other = registerOpaque("another");
        bytes32[2] memory ids;
        Request memory asked;
        (ids[0], asked) = propose(5 ether, DATA);
        answer(asked, APPROVE);
        (ids[1], asked) = propose(5 ether, DATA);
        setJudge(other, quorumPolicy(2, 0));
        answer(asked, APPROVE); // asked under the first judge, answered under the second
        for (uint256 i; i < 2; ++i) {
            refuseExecution(ids[i], 5 ether, DATA, i, AgentAccount.OtherSpending.selector);
        }
        setJudge(modelId, quorumPolicy(2, 0)); // back again: what was void stays void
        for (uint256 i; i < 2; ++i) {
            refuseExecution(ids[i], 5 ether, DATA, i, AgentAccount.OtherSpending.selector);
        }
        setJudge(modelId, quorumPolicy(1, 0)); // a weaker policy
        for (uint256 i; i < 2; ++i) {
            refuseExecution(ids[i], 5 ether, DATA, i, AgentAccount.OtherSpending.selector);
        }
    }

    function test_AMalformedPolicyIsNotTaken() public {
        vm.prank(ALICE);
        vm.expectPartialRevert(Policy.MalformedPolicy.selector);
        account.setJudge(modelId, bytes32(uint256(1)));
    }

    function test_AnAnswerUnderAWeakerPolicyOrOfAnotherModelIsNoAnswer() public {
        (, Request memory asked) = propose(5 ether, DATA);
        asked.policy = quorumPolicy(1, 0);
        refuseDelivery(asked);
        asked.policy = quorumPolicy(2, 0);
        asked.modelId = registerOpaque("another");
        refuseDelivery(asked);
    }

    // ---- other requesters -----------------------------------------------------------------------------------------

    function test_NobodyElseAnswersAndNobodyElsesQuestionCounts() public {
        (bytes32 id,) = propose(5 ether, DATA);
        vm.prank(AGENT);
        vm.expectRevert(abi.encodeWithSelector(AgentAccount.NotCoprocessor.selector, AGENT));
        account.onInference(id, APPROVE);
        // The same question asked by the agent itself is answered to the agent, and is no spending of the account.
        bytes memory input = account.describe(address(shop), 5 ether, DATA);
        Request memory asked = ask(AGENT, input, quorumPolicy(2, 0), 7, account.CALLBACK_GAS());
        coprocessor.deliver(asked, "", APPROVE, evidenceOf(asked, APPROVE, 2));
        refuseExecution(id, 5 ether, DATA, 0, AgentAccount.NotApproved.selector);
        bytes32 own = coprocessor.computeRequestId(asked);
        refuseExecution(own, 5 ether, DATA, 0, AgentAccount.NotApproved.selector);
        vm.prank(address(coprocessor));
        vm.expectRevert(abi.encodeWithSelector(AgentAccount.NotAsked.selector, own));
        account.onInference(own, APPROVE);
    }

    function test_AnApprovalOfAnotherAccountIsNone() public {
        AgentAccount other = newAccount(quorumPolicy(2, 0));
        (bytes32 id, Request memory asked) = propose(5 ether, DATA);
        answer(asked, APPROVE);
        vm.prank(AGENT);
        vm.expectPartialRevert(AgentAccount.NotApproved.selector);
        other.execute(id, address(shop), 5 ether, DATA, 0);
        vm.assertNotEq(
            other.computeDigest(address(shop), 5 ether, DATA, 0),
            account.computeDigest(address(shop), 5 ether, DATA, 0)
        );
    }

    function test_AnApprovalOnAnotherChainIsNone() public {
        (bytes32 id, Request memory asked) = propose(5 ether, DATA);
        answer(asked, APPROVE);
        vm.chainId(5); // a fork of the chain takes all its state along
        refuseExecution(id, 5 ether, DATA, 0, AgentAccount.OtherSpending.selector);
    }

    function test_AnAnswerIsGivenOnce() public {
        (bytes32 id, Request memory asked) = propose(5 ether, DATA);
        answer(asked, REFUSE);
        Evidence[] memory evidence = evidenceOf(asked, APPROVE, 2);
        vm.expectPartialRevert(bytes4(keccak256("AlreadyDelivered(bytes32,bytes32)")));
        coprocessor.deliver(asked, "", APPROVE, evidence);
        vm.prank(address(coprocessor));
        vm.expectRevert(abi.encodeWithSelector(AgentAccount.NotAsked.selector, id));
        account.onInference(id, APPROVE);
    }

    // ---- windows --------------------------------------------------------------------------------------------------

    function test_APendingApprovalReleasesNothingUntilItIsFinal() public {
        setJudge(modelId, quorumPolicy(2, 600));
        (bytes32 id, Request memory asked) = propose(5 ether, DATA);
        bytes memory input = account.describe(address(shop), 5 ether, DATA);
        coprocessor.deliver(asked, input, APPROVE, evidenceOf(asked, APPROVE, 2));
        refuseExecution(id, 5 ether, DATA, 0, AgentAccount.NotApproved.selector);
        vm.warp(block.timestamp + 600);
        address[] memory paid = new address[](2);
        (paid[0], paid[1]) = (operatorAt(0), operatorAt(1));
        coprocessor.finalize(asked, APPROVE, paid);
        execute(id, 5 ether, DATA, 0);
    }

    function test_AnApprovalThatIsProvenWrongWithinTheWindowReleasesNothing() public {
        setJudge(modelId, quorumPolicy(2, 600));
        (bytes32 id, Request memory asked) = propose(5 ether, DATA);
        bytes memory input = account.describe(address(shop), 5 ether, DATA);
        truth.learn(modelId, input, REFUSE);
        coprocessor.deliver(asked, input, APPROVE, evidenceOf(asked, APPROVE, 2));
        coprocessor.challenge(asked, input, REFUSE, proofOf(asked, REFUSE, ALICE));
        (AgentAccount.State state,,) = account.spendingOf(id);
        vm.assertTrue(state == AgentAccount.State.REFUSED, "refused");
        refuseExecution(id, 5 ether, DATA, 0, AgentAccount.NotApproved.selector);
    }

    // ---- re-entrancy ----------------------------------------------------------------------------------------------

    function test_ATargetThatComesBackSpendsNothingTwice() public {
        vm.prank(ALICE);
        account.setAgent(address(shop)); // the worst case: the target is the agent
        vm.deal(address(shop), 1);
        shop.prepare(address(account), abi.encodeCall(AgentAccount.spend, (payable(address(shop)), 0.6 ether)));
        vm.prank(address(shop));
        account.spend(payable(address(shop)), 0.6 ether);
        vm.assertTrue(!shop.hasSucceeded(), "0.6 of 0.4 left");
        vm.assertEq(account.spentWei(), 0.6 ether);
    }

    function test_ATargetThatComesBackIsNotPaidTwiceForOneApproval() public {
        vm.prank(ALICE);
        account.setAgent(address(shop));
        vm.deal(address(shop), 1 ether);
        vm.prank(address(shop));
        bytes32 id = account.propose{value: 7}(address(shop), 5 ether, DATA, PATIENCE);
        Request memory asked = askedBy(address(shop), 5 ether, DATA);
        answer(asked, APPROVE);
        shop.prepare(address(account), abi.encodeCall(AgentAccount.execute, (id, address(shop), 5 ether, DATA, 0)));
        vm.prank(address(shop));
        account.execute(id, address(shop), 5 ether, DATA, 0);
        vm.assertTrue(!shop.hasSucceeded(), "again");
        vm.assertEq(shop.calls(), 1);
    }

    // ---- what the model is shown ----------------------------------------------------------------------------------

    function test_TheModelIsShownTheCallItself() public {
        // 5 ether: five limits, more than can be shown; log2 is 62. a9059cbb is 1352 · 2^21 + 359 · 2^10 + 187.
        vm.assertEq(
            account.describe(address(shop), 5 ether, DATA),
            hex"07ff0000" hex"01f00001" hex"00000006" hex"05480167" hex"00bb"
        );
        spend(0.25 ether);
        vm.assertEq(account.describe(ALICE, 0, ""), hex"000000fa" hex"00000000" hex"00000000" hex"00000000" hex"0000");
        vm.assertEq(
            account.describe(address(shop), type(uint256).max, hex"ffffffff"),
            hex"07ff00fa" hex"07f80001" hex"00010004" hex"07ff07ff" hex"03ff"
        );
        vm.warp(block.timestamp + PERIOD);
        vm.assertEq(
            account.describe(ALICE, 1.5 ether, hex"ffffff"),
            hex"05dc0000" hex"01e00000" hex"00000003" hex"00000000" hex"0000"
        );
    }

    /// @dev What a canonical model takes: 12 signed bits. One element beyond, and no node answers.
    function testFuzz_EveryElementShownIsOneThatACanonicalModelTakes(
        address target,
        uint256 valueWei,
        bytes calldata data,
        uint256 limitWei,
        uint256 spentWei,
        uint256 times
    ) public {
        OldAccount old = new OldAccount(coprocessor, modelId, quorumPolicy(2, 0), limitWei);
        old.remember(target, times, spentWei);
        bytes memory input = old.describe(target, valueWei, data);
        vm.assertEq(input.length, 2 * old.FACTS());
        for (uint256 i; i < input.length; i += 2) {
            int256 element = int16(uint16(uint8(input[i])) << 8 | uint8(input[i + 1]));
            vm.assertTrue(element >= -2048 && element <= 2047, "12 signed bits");
        }
    }

    // ---- fees from the balance ------------------------------------------------------------------------------------

    function test_AFeeFromTheBalanceGoesBackToTheBalanceAndTheAgentGetsNoneOfIt() public {
        vm.expectRevert(abi.encodeWithSelector(AgentAccount.NotAgent.selector, address(this)));
        account.proposeFromBalance(address(shop), 1, "", 0, PATIENCE);
        vm.prank(AGENT);
        vm.expectRevert(abi.encodeWithSelector(AgentAccount.ForbiddenTarget.selector, address(coprocessor)));
        account.proposeFromBalance(address(coprocessor), 0, DATA, 0, PATIENCE);
        vm.prank(AGENT);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.Unpaid.selector, address(account), 7, 0));
        account.proposeFromBalance(address(shop), 5 ether, DATA, 7, PATIENCE);

        fund(address(account), 7);
        vm.prank(AGENT);
        account.proposeFromBalance(address(shop), 5 ether, DATA, 7, PATIENCE);
        vm.assertEq(coprocessor.balanceOf(address(account)), 0);
        Request memory asked = askedBy(address(account), 5 ether, DATA);
        vm.warp(asked.deadline + 1);
        coprocessor.refund(asked);
        vm.assertEq(coprocessor.balanceOf(AGENT), 0);
        vm.assertEq(coprocessor.balanceOf(address(account)), 7);
        vm.prank(ALICE);
        account.ownerCall(address(coprocessor), 0, abi.encodeCall(ICoprocessor.withdraw, (7, payable(ALICE))));
        vm.assertEq(ALICE.balance, 7);
    }

    // ---- steps ----------------------------------------------------------------------------------------------------

    function newAccount(bytes32 policy) private returns (AgentAccount created) {
        bytes memory arguments = abi.encode(coprocessor, ALICE, AGENT, modelId, policy, LIMIT_WEI, PERIOD, APPROVAL);
        bytes memory code = vm.getCode("AgentAccount.sol:AgentAccount");
        created = AgentAccount(payable(deploy("AgentAccount", bytes.concat(code, arguments))));
        vm.deal(address(created), 100 ether);
    }

    function spend(uint256 valueWei) private {
        vm.prank(AGENT);
        account.spend(payable(address(shop)), valueWei);
    }

    function propose(uint256 valueWei, bytes memory data) private returns (bytes32 id, Request memory asked) {
        asked = nextRequest(address(account), "", account.policy(), 7, account.CALLBACK_GAS());
        vm.prank(AGENT);
        id = account.propose{value: 7}(address(shop), valueWei, data, PATIENCE);
        asked.inputDigest = keccak256(account.describe(address(shop), valueWei, data));
        (asked.refundTo, asked.deadline) = (AGENT, uint64(block.timestamp) + PATIENCE);
        vm.assertEq(id, coprocessor.computeRequestId(asked));
    }

    function askedBy(address refundTo, uint256 valueWei, bytes memory data)
        private
        view
        returns (Request memory asked)
    {
        bytes memory input = account.describe(address(shop), valueWei, data);
        asked = nextRequest(address(account), input, account.policy(), 7, account.CALLBACK_GAS());
        asked.nonce = coprocessor.nextNonce() - 1;
        (asked.refundTo, asked.deadline) = (refundTo, uint64(block.timestamp) + PATIENCE);
    }

    function answer(Request memory asked, bytes memory output) private {
        ResultCode code = coprocessor.deliver(asked, "", output, evidenceOf(asked, output, 2));
        vm.assertTrue(code == ResultCode.DELIVERED, "answered");
    }

    function refuseDelivery(Request memory asked) private {
        Evidence[] memory evidence = evidenceOf(asked, APPROVE, 2);
        vm.expectPartialRevert(bytes4(keccak256("UnknownRequest(bytes32)")));
        coprocessor.deliver(asked, "", APPROVE, evidence);
    }

    function execute(bytes32 id, uint256 valueWei, bytes memory data, uint256 nonce) private {
        uint256 before = address(shop).balance;
        vm.prank(AGENT);
        account.execute(id, address(shop), valueWei, data, nonce);
        vm.assertEq(address(shop).balance, before + valueWei);
    }

    function refuseExecution(bytes32 id, uint256 valueWei, bytes memory data, uint256 nonce, bytes4 why) private {
        uint256 before = address(account).balance;
        vm.prank(AGENT);
        vm.expectPartialRevert(why);
        account.execute(id, address(shop), valueWei, data, nonce);
        vm.assertEq(address(account).balance, before);
    }

    function cancel(bytes32 id) private {
        vm.prank(ALICE);
        account.cancel(id);
    }

    function setJudge(bytes32 newModelId, bytes32 newPolicy) private {
        vm.prank(ALICE);
        account.setJudge(newModelId, newPolicy);
    }
}

/// @title Where fees are paid in a token, an account asks from its balance, and pays out ether as ever
contract AgentAccountTokenTest is TokenDeployment {
    address private constant AGENT = address(0xA9E57);

    function test_AnAccountAsksFromATokenBalanceAndSpendsWhatIsApproved() public {
        bytes32 policy = quorumPolicy(2, 0);
        AgentAccount account =
            new AgentAccount(coprocessor, address(this), AGENT, modelId, policy, 1 ether, 1 days, 1 hours);
        vm.deal(address(account), 5 ether);
        vm.deal(AGENT, 7);
        vm.prank(AGENT);
        vm.expectPartialRevert(bytes4(keccak256("NotEther(address)")));
        account.propose{value: 7}(address(0xB0B), 5 ether, "", 600);

        fund(address(account), 7);
        Request memory asked = nextRequest(address(account), "", policy, 7, account.CALLBACK_GAS());
        vm.prank(AGENT);
        bytes32 id = account.proposeFromBalance(address(0xB0B), 5 ether, "", 7, 600);
        asked.inputDigest = keccak256(account.describe(address(0xB0B), 5 ether, ""));
        (asked.refundTo, asked.deadline) = (address(account), uint64(block.timestamp) + 600);
        vm.assertEq(id, coprocessor.computeRequestId(asked));
        bytes memory approval = hex"00000001";
        coprocessor.deliver(asked, "", approval, evidenceOf(asked, approval, 2));
        vm.prank(AGENT);
        account.execute(id, address(0xB0B), 5 ether, "", 0);
        vm.assertEq(address(0xB0B).balance, 5 ether);
    }
}
