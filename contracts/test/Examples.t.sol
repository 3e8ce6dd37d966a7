// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {InferenceConsumer} from "../src/consumers/InferenceConsumer.sol";
import {ClaimPayout} from "../src/examples/ClaimPayout.sol";
import {DelayedGrant} from "../src/examples/DelayedGrant.sol";
import {DoublyCheckedSwitch} from "../src/examples/DoublyCheckedSwitch.sol";
import {ListingReview} from "../src/examples/ListingReview.sol";
import {ProvenCredit} from "../src/examples/ProvenCredit.sol";
import {ICoprocessor} from "../src/interfaces/ICoprocessor.sol";
import {Policy} from "../src/libraries/Policy.sol";
import {Scores} from "../src/libraries/Scores.sol";
import {Evidence, Request, ResultCode} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";

/// @dev What a consumer is without any business of its own.
contract BareConsumer is InferenceConsumer {
    constructor(ICoprocessor coprocessor, bytes32 modelId, bytes32 policy)
        InferenceConsumer(coprocessor, modelId, policy)
    {}

    function _onAnswer(bytes32, bytes calldata) internal override {}
}

/// @dev Makes library functions callable, so that their reverts can be expected.
contract Words {
    function deployConsumer(ICoprocessor coprocessor, bytes32 modelId, bytes32 policy) external {
        new BareConsumer(coprocessor, modelId, policy);
    }

    function largest(bytes calldata output, uint256 count) external pure returns (uint256) {
        return Scores.indexOfLargest(output, count);
    }

    function pack(int16[] calldata values) external pure returns (bytes memory) {
        return Scores.pack(values);
    }

    function score(bytes calldata output, uint256 index) external pure returns (int16) {
        return Scores.score(output, index);
    }
}

/// @title One example for each policy: each acts on the answers its policy lets through, and on nothing else
contract ExamplesTest is Deployment {
    address private constant ALICE = address(0xA11CE);
    address private constant STEWARD = address(0x57E4A2D);
    bytes private constant FILE = hex"0001000200030004";
    bytes private constant YES = hex"00000001";
    bytes private constant NO = hex"00010000";
    uint256 private constant FEE_WEI = 10;
    uint32 private constant PATIENCE = 1 hours;

    Words private words;

    function setUp() public override {
        super.setUp();
        // By its artifact: with it inside, this contract would be larger than a chain takes.
        words = Words(deploy("Words", vm.getCode("Examples.t.sol:Words")));
        vm.deal(ALICE, 1 ether);
    }

    // ---- quorum ---------------------------------------------------------------------------------------------------

    function test_Quorum_AListingIsShownWhenTheQuorumFindsItHarmless() public {
        ListingReview review = new ListingReview(coprocessor, modelId, 2);
        bytes32 listing = keccak256(FILE);
        Request memory asked = expectedOf(review, review.CALLBACK_GAS());
        vm.prank(ALICE);
        requireId(review.submit{value: FEE_WEI}(FILE, PATIENCE), asked);
        refuseDelivery(asked, NO, asEvidence(quorumData(asked, NO, 0, 1))); // one of two
        coprocessor.deliver(asked, "", NO, evidenceOf(asked, NO, 2)); // the first score is the larger: harmless
        vm.assertTrue(review.isShown(listing), "shown");
        asked = expectedOf(review, review.CALLBACK_GAS());
        vm.prank(ALICE);
        requireId(review.submit{value: FEE_WEI}(FILE, PATIENCE), asked);
        coprocessor.deliver(asked, "", YES, evidenceOf(asked, YES, 2));
        vm.assertTrue(!review.isShown(listing), "taken down");
    }

    // ---- proof ----------------------------------------------------------------------------------------------------

    function test_Proof_ALineIsAsHighAsTheProvenScore() public {
        ProvenCredit credit = new ProvenCredit(coprocessor, modelId, 3);
        Request memory asked = applyFor(credit);
        bytes memory score = hex"0064";
        truth.learn(modelId, FILE, score);
        Evidence[] memory evidence = new Evidence[](1);
        evidence[0] = proofOf(asked, hex"7fff", operatorAt(0));
        refuseDelivery(asked, hex"7fff", evidence); // not what the model gives
        refuseDelivery(asked, score, evidenceOf(asked, score, 8)); // all operators, and no proof
        evidence[0] = proofOf(asked, score, operatorAt(0));
        coprocessor.deliver(asked, FILE, score, evidence);
        vm.assertEq(credit.lineWeiOf(ALICE), 300);
        asked = applyFor(credit);
        truth.learn(modelId, FILE, hex"ff9c");
        evidence[0] = proofOf(asked, hex"ff9c", operatorAt(0));
        coprocessor.deliver(asked, FILE, hex"ff9c", evidence);
        vm.assertEq(credit.lineWeiOf(ALICE), 0, "a score below zero");
    }

    // ---- quorum and window ----------------------------------------------------------------------------------------

    function test_QuorumAndWindow_APayoutWaitsAndALieIsReplaced() public {
        ClaimPayout insurer = new ClaimPayout{value: 10 ether}(coprocessor, modelId, 2, 600, 1 ether);
        Request memory honest = fileClaim(insurer);
        Request memory lied = fileClaim(insurer);
        truth.learn(modelId, FILE, NO);
        coprocessor.deliver(honest, FILE, YES, evidenceOf(honest, YES, 2));
        coprocessor.deliver(lied, FILE, YES, evidenceOf(lied, YES, 2));
        vm.assertEq(insurer.owedWeiTo(ALICE), 0);
        coprocessor.challenge(lied, FILE, NO, proofOf(lied, NO, STEWARD));
        vm.assertEq(insurer.owedWeiTo(ALICE), 0, "only the proven answer arrives");
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(ClaimPayout.NothingOwed.selector, ALICE));
        insurer.collect();
        vm.warp(block.timestamp + 600);
        coprocessor.finalize(honest, YES, firstOperators(2));
        vm.assertEq(insurer.owedWeiTo(ALICE), 1 ether, "nobody objected to this one");
        uint256 before = ALICE.balance;
        vm.prank(ALICE);
        insurer.collect();
        vm.assertEq(ALICE.balance, before + 1 ether);
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(ClaimPayout.NothingOwed.selector, ALICE));
        insurer.collect();
    }

    // ---- proof and window -----------------------------------------------------------------------------------------

    function test_ProofAndWindow_AProvenGrantCanStillBeVetoed() public {
        DelayedGrant grant = new DelayedGrant(coprocessor, modelId, 600, STEWARD);
        truth.learn(modelId, FILE, YES);
        Request memory vetoed = deliverProven(grant);
        bytes32 id = coprocessor.computeRequestId(vetoed);
        vm.expectRevert(abi.encodeWithSelector(DelayedGrant.NotSteward.selector, address(this)));
        grant.veto(id);
        vm.prank(STEWARD);
        grant.veto(id);
        vm.warp(block.timestamp + 600);
        coprocessor.finalize(vetoed, YES, firstOperators(1));
        vm.assertTrue(!grant.isGranted(ALICE), "vetoed");
        Request memory granted = deliverProven(grant);
        vm.assertTrue(!grant.isGranted(ALICE), "not before the window is over");
        vm.warp(block.timestamp + 600);
        coprocessor.finalize(granted, YES, firstOperators(1));
        vm.assertTrue(grant.isGranted(ALICE), "granted");
        id = coprocessor.computeRequestId(granted);
        vm.prank(STEWARD);
        vm.expectRevert(abi.encodeWithSelector(InferenceConsumer.NotAsked.selector, id));
        grant.veto(id);
    }

    // ---- proof and quorum -----------------------------------------------------------------------------------------

    function test_ProofAndQuorum_NeitherAloneOpensTheSwitch() public {
        DoublyCheckedSwitch breaker = new DoublyCheckedSwitch(coprocessor, modelId, 2);
        Request memory asked = expectedOf(breaker, breaker.CALLBACK_GAS());
        vm.prank(ALICE);
        requireId(breaker.look{value: FEE_WEI}(FILE, PATIENCE), asked);
        truth.learn(modelId, FILE, YES);
        Evidence[] memory proof = new Evidence[](1);
        proof[0] = proofOf(asked, YES, operatorAt(0));
        refuseDelivery(asked, YES, proof);
        refuseDelivery(asked, YES, evidenceOf(asked, YES, 2));
        Evidence[] memory both = new Evidence[](2);
        (both[0], both[1]) = (evidenceOf(asked, YES, 2)[0], proof[0]);
        coprocessor.deliver(asked, FILE, YES, both);
        vm.assertTrue(breaker.isSwitchOpen(), "open");
    }

    // ---- what all of them inherit ---------------------------------------------------------------------------------

    function test_OnlyTheCoprocessorAnswersOnlyOpenQuestionsAndOnce() public {
        ListingReview review = new ListingReview(coprocessor, modelId, 2);
        Request memory asked = expectedOf(review, review.CALLBACK_GAS());
        vm.prank(ALICE);
        bytes32 id = review.submit{value: FEE_WEI}(FILE, PATIENCE);
        vm.assertTrue(review.isOpen(id), "open");
        vm.expectRevert(abi.encodeWithSelector(InferenceConsumer.NotCoprocessor.selector, address(this)));
        review.onInference(id, NO);
        vm.prank(address(coprocessor));
        vm.expectRevert(abi.encodeWithSelector(InferenceConsumer.NotAsked.selector, bytes32("other")));
        review.onInference("other", NO);
        coprocessor.deliver(asked, "", NO, evidenceOf(asked, NO, 2));
        vm.assertTrue(!review.isOpen(id), "answered");
        vm.prank(address(coprocessor));
        vm.expectRevert(abi.encodeWithSelector(InferenceConsumer.NotAsked.selector, id));
        review.onInference(id, YES);
    }

    function test_AnAnswerOfAnotherShapeStaysOpenAndUnread() public {
        ListingReview review = new ListingReview(coprocessor, modelId, 2);
        Request memory asked = expectedOf(review, review.CALLBACK_GAS());
        vm.prank(ALICE);
        bytes32 id = review.submit{value: FEE_WEI}(FILE, PATIENCE);
        ResultCode code = coprocessor.deliver(asked, "", hex"0001", evidenceOf(asked, hex"0001", 2));
        vm.assertTrue(code == ResultCode.DELIVERED_CALLBACK_FAILED, "code");
        vm.assertTrue(review.isOpen(id), "unread");
    }

    function test_TheFeeGoesBackToWhoPaidIt() public {
        ListingReview review = new ListingReview(coprocessor, modelId, 2);
        Request memory asked = expectedOf(review, review.CALLBACK_GAS());
        vm.prank(ALICE);
        review.submit{value: FEE_WEI}(FILE, PATIENCE);
        vm.warp(asked.deadline + 1);
        coprocessor.refund(asked);
        vm.assertEq(coprocessor.balanceOf(ALICE), FEE_WEI);
    }

    function test_AConsumerOfNoPolicyIsNotDeployed() public {
        vm.expectRevert(abi.encodeWithSelector(Policy.MalformedPolicy.selector, bytes32(0)));
        words.deployConsumer(coprocessor, modelId, bytes32(0));
    }

    function test_QuorumAndWindow_AClaimantWhoTakesNoMoneyKeepsTheClaim() public {
        ClaimPayout insurer = new ClaimPayout{value: 10 ether}(coprocessor, modelId, 2, 600, 1 ether);
        Request memory asked = expectedOf(insurer, insurer.CALLBACK_GAS());
        asked.refundTo = address(this); // which has no way to receive ether
        insurer.file{value: FEE_WEI}(FILE, PATIENCE);
        coprocessor.deliver(asked, FILE, YES, evidenceOf(asked, YES, 2));
        vm.warp(block.timestamp + 600);
        coprocessor.finalize(asked, YES, firstOperators(2));
        vm.expectRevert(abi.encodeWithSelector(ClaimPayout.TransferFailed.selector, address(this), 1 ether));
        insurer.collect();
        vm.assertEq(insurer.owedWeiTo(address(this)), 1 ether);
    }

    // ---- words and scores -----------------------------------------------------------------------------------------

    function testFuzz_ScoresArePackedAndReadBack(int16[10] calldata given) public view {
        int16[] memory values = new int16[](10);
        uint256 expected;
        for (uint256 i; i < 10; ++i) {
            values[i] = given[i];
            if (given[i] > given[expected]) expected = i;
        }
        bytes memory packed = words.pack(values);
        vm.assertEq(words.largest(packed, 10), expected);
        for (uint256 i; i < 10; ++i) {
            vm.assertTrue(words.score(packed, i) == given[i], "score");
        }
    }

    function test_AnotherNumberOfScoresIsRefused() public {
        vm.expectRevert(abi.encodeWithSelector(Scores.UnexpectedOutput.selector, 4, 6));
        words.largest(new bytes(6), 2);
        vm.expectRevert(abi.encodeWithSelector(Scores.UnexpectedOutput.selector, 4, 3));
        words.largest(new bytes(3), 2);
    }

    // ---- steps ----------------------------------------------------------------------------------------------------

    /// @dev The request that a consumer makes next for ALICE.
    function expectedOf(InferenceConsumer consumer, uint32 callbackGas) private view returns (Request memory asked) {
        asked = nextRequest(address(consumer), FILE, consumer.POLICY(), FEE_WEI, callbackGas);
        (asked.refundTo, asked.deadline) = (ALICE, uint64(block.timestamp) + PATIENCE);
    }

    function requireId(bytes32 id, Request memory asked) private view {
        vm.assertEq(id, coprocessor.computeRequestId(asked));
    }

    function applyFor(ProvenCredit credit) private returns (Request memory asked) {
        asked = expectedOf(credit, credit.CALLBACK_GAS());
        vm.prank(ALICE);
        requireId(credit.apply_{value: FEE_WEI}(FILE, PATIENCE), asked);
    }

    function fileClaim(ClaimPayout insurer) private returns (Request memory asked) {
        asked = expectedOf(insurer, insurer.CALLBACK_GAS());
        vm.prank(ALICE);
        requireId(insurer.file{value: FEE_WEI}(FILE, PATIENCE), asked);
    }

    function deliverProven(DelayedGrant grant) private returns (Request memory asked) {
        asked = expectedOf(grant, grant.CALLBACK_GAS());
        vm.prank(ALICE);
        requireId(grant.apply_{value: FEE_WEI}(FILE, PATIENCE), asked);
        Evidence[] memory evidence = new Evidence[](1);
        evidence[0] = proofOf(asked, YES, operatorAt(0));
        coprocessor.deliver(asked, FILE, YES, evidence);
    }

    function firstOperators(uint256 count) private pure returns (address[] memory found) {
        found = new address[](count);
        for (uint256 i; i < count; ++i) {
            found[i] = operatorAt(i);
        }
    }

    function refuseDelivery(Request memory asked, bytes memory output, Evidence[] memory evidence) private {
        vm.expectRevert();
        coprocessor.deliver(asked, FILE, output, evidence);
    }
}
