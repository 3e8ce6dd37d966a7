// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FeeQuotes} from "../src/FeeQuotes.sol";
import {IFeeQuotes} from "../src/interfaces/IFeeQuotes.sol";
import {FeeSplit} from "../src/libraries/FeeSplit.sol";
import {Policy} from "../src/libraries/Policy.sol";
import {Evidence, Request} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";

/// @title What operators ask for, and what a question costs
contract FeeQuotesTest is Deployment {
    bytes32 private constant ENCLAVE_OF_ONE = bytes32(bytes3(0x010102));
    bytes32 private constant ALL_OF_TWO = bytes32(bytes3(0x010203));
    uint80 private constant NONE = type(uint80).max;
    FeeQuotes private quotes;

    function setUp() public override {
        super.setUp();
        quotes = FeeQuotes(deployShipped("FeeQuotes", abi.encode(operators)));
    }

    function test_TheFeeIsAShareOfTheDearestForEveryPieceOfEvidence() public {
        post(0, 0, 30, 100, NONE);
        post(1, 0, 10, NONE, 7);
        post(2, 0, 20, 90, NONE);
        requireQuote(quorumPolicy(1, 0), 10, 1);
        requireQuote(quorumPolicy(2, 0), 20, 2);
        requireQuote(quorumPolicy(3, 600), 30, 3);
        requireQuote(proofPolicy(0, 0), 90, 1);
        requireQuote(proofPolicy(2, 0), 90, 3);
        requireQuote(ENCLAVE_OF_ONE, 10, 2);
        requireQuote(ALL_OF_TWO, 90, 4);
    }

    function test_AModelsOwnAskGoesBeforeTheDefaultAndBackWhenItIsRetracted() public {
        post(0, 0, 30, NONE, NONE);
        requireQuote(quorumPolicy(1, 0), 30, 1);
        post(0, modelId, 5, NONE, NONE);
        requireQuote(quorumPolicy(1, 0), 5, 1);
        (uint256 feeWei,,) = quotes.quote(keccak256("another"), quorumPolicy(1, 0));
        vm.assertEq(feeWei, 30);
        post(0, modelId, NONE, NONE, NONE);
        expectTooFew(quorumPolicy(1, 0), 1, 1, 0);
        vm.expectEmit(address(quotes));
        emit IFeeQuotes.AsksRetracted(operatorAt(0), modelId);
        vm.prank(operatorAt(0));
        quotes.retract(modelId);
        requireQuote(quorumPolicy(1, 0), 30, 1);
    }

    function test_WhoPostedNothingOrDoesNotServeIsNotCounted() public {
        expectTooFew(quorumPolicy(1, 0), 1, 1, 0);
        post(0, 0, 0, NONE, NONE);
        requireQuote(quorumPolicy(1, 0), 0, 1);
        expectTooFew(quorumPolicy(2, 0), 1, 2, 1);
        expectTooFew(proofPolicy(1, 0), 2, 1, 0);
        expectTooFew(ENCLAVE_OF_ONE, 3, 1, 0);
    }

    function test_OnlyActiveOperatorsAreCounted() public {
        post(0, 0, 1, NONE, NONE);
        post(1, 0, 9, NONE, NONE);
        vm.prank(operatorAt(0));
        operators.beginExit();
        requireQuote(quorumPolicy(1, 0), 9, 1);
        vm.prank(address(frauds));
        operators.slash(operatorAt(1), 1, address(1));
        expectTooFew(quorumPolicy(1, 0), 1, 1, 0);
    }

    function test_StrangersPostNothing() public {
        vm.expectRevert(abi.encodeWithSelector(IFeeQuotes.NotAnOperator.selector, address(this)));
        quotes.post(0, 1, 1, 1);
    }

    function test_WhatIsNoPolicyHasNoPrice() public {
        vm.expectRevert(abi.encodeWithSelector(Policy.MalformedPolicy.selector, bytes32(0)));
        quotes.quote(modelId, 0);
    }

    /// @dev The quoted fee, split as the Coprocessor splits it, gives the k cheapest what they ask; one less does not.
    function testFuzz_WithTheQuotedFeeEnoughAreContentAndWithLessAreNot(uint80[8] memory askedWei, uint8 k) public {
        k = uint8(1 + k % OPERATORS);
        for (uint256 i; i < OPERATORS; ++i) {
            if (askedWei[i] == NONE) --askedWei[i];
            post(i, 0, askedWei[i], NONE, NONE);
        }
        (uint256 feeWei,, uint256 shares) = quotes.quote(modelId, quorumPolicy(k, 0));
        vm.assertTrue(contentWith(feeWei, shares, askedWei) >= k, "too few are content");
        if (feeWei != 0) vm.assertTrue(contentWith(feeWei - 1, shares, askedWei) < k, "less would do");
    }

    function test_EverySeatIsRead() public {
        vm.prank(operatorAt(7));
        operators.beginExit();
        vm.warp(block.timestamp + UNBONDING_SECONDS);
        vm.prank(operatorAt(7));
        operators.withdrawStake(payable(address(1)));
        bytes memory possession =
            signDigest(keyOf(7), operators.computePossessionDigest(operatorAt(7), vm.addr(keyOf(7))));
        vm.deal(operatorAt(7), MIN_STAKE_WEI);
        vm.prank(operatorAt(7));
        operators.register{value: MIN_STAKE_WEI}(255, vm.addr(keyOf(7)), possession);
        post(7, 0, 3, NONE, NONE);
        requireQuote(quorumPolicy(1, 0), 3, 1);
    }

    /// @dev The whole way: who pays the quote is answered by operators who each have at least what they asked for.
    function test_ThePaidQuoteReachesThoseWhoAsked() public {
        post(0, 0, 30, NONE, NONE);
        post(1, 0, 10, NONE, NONE);
        (uint256 feeWei,,) = quotes.quote(modelId, quorumPolicy(2, 0));
        Request memory asked = ask(address(0xA11CE), "x", quorumPolicy(2, 0), feeWei, 0);
        Evidence[] memory evidence = evidenceOf(asked, "y", 2);
        coprocessor.deliver(asked, "", "y", evidence);
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 30);
        vm.assertEq(coprocessor.balanceOf(operatorAt(1)), 30);
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    function post(uint256 i, bytes32 model, uint80 signatureWei, uint80 proofWei, uint80 enclaveWei) private {
        vm.expectEmit(address(quotes));
        emit IFeeQuotes.AsksPosted(operatorAt(i), model, signatureWei, proofWei, enclaveWei);
        vm.prank(operatorAt(i));
        quotes.post(model, signatureWei, proofWei, enclaveWei);
    }

    function requireQuote(bytes32 policy, uint256 share, uint256 expectedShares) private view {
        (uint256 feeWei, uint256 shareWei, uint256 shares) = quotes.quote(modelId, policy);
        vm.assertEq(shareWei, share, "share");
        vm.assertEq(shares, expectedShares, "shares");
        vm.assertEq(feeWei, share * expectedShares, "fee");
    }

    function expectTooFew(bytes32 policy, uint8 kind, uint256 demanded, uint256 got) private {
        vm.expectRevert(abi.encodeWithSelector(IFeeQuotes.TooFewAsks.selector, kind, demanded, got));
        quotes.quote(modelId, policy);
    }

    function contentWith(uint256 feeWei, uint256 shares, uint80[8] memory askedWei)
        private
        pure
        returns (uint256 count)
    {
        (, uint256 shareWei) = FeeSplit.split(feeWei, shares);
        for (uint256 i; i < OPERATORS; ++i) {
            if (askedWei[i] <= shareWei) ++count;
        }
    }
}
